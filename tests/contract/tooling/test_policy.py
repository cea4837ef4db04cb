"""The rules for tests are in force: proved on small suites of their own."""

from __future__ import annotations

import pytest

SUITE = """
    import pytest
    from tests.policy import require

    def test_condition_holds():
        require(True, "never seen")

    def test_service_missing():
        require(False, "no such service here")

    @pytest.mark.skip(reason="by mark")
    def test_marked():
        pass

    @pytest.mark.xfail(strict=True)
    def test_known_to_fail():
        assert False
"""


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess("-p", "tests.policy", "-p", "no:cacheprovider", "-ra", *arguments)


def test_locally_a_missing_service_skips_with_its_reason(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    pytester.makepyfile(SUITE)
    result = run(pytester)
    result.assert_outcomes(passed=1, skipped=2, xfailed=1)
    result.stdout.fnmatch_lines(["*no such service here*"])


def test_in_ci_nothing_is_skipped(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    pytester.makepyfile(SUITE)
    result = run(pytester)
    result.assert_outcomes(passed=1, failed=1, errors=1, xfailed=1)
    result.stdout.fnmatch_lines(["*needed where CI is set: no such service here*", "*by mark*"])


def test_in_ci_a_skipped_module_fails(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    pytester.makepyfile("import pytest\npytest.importorskip('no_such_module')")
    result = run(pytester)
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*nothing is skipped where CI is set*no_such_module*"])


@pytest.mark.parametrize(("folder", "passed"), [("unit", 0), ("contract", 1)])
def test_only_unit_tests_have_no_network(pytester: pytest.Pytester, folder: str, passed: int) -> None:
    test = pytester.mkdir(folder) / "test_socket.py"
    test.write_text("import socket\n\ndef test_opens():\n    socket.socket(socket.AF_INET).close()\n")
    run(pytester, "--allow-unix-socket").assert_outcomes(passed=passed, failed=1 - passed)
