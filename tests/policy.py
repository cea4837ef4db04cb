"""What holds for every test: no network in unit tests, and nothing is skipped where CI is set.

A pytest plugin, loaded by tests/conftest.py.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

import pytest

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

UNIT_EXAMPLES = 25
"""Examples of a property in the unit tier; the contract tier plays every one again under the profile `thorough`."""
THOROUGH_EXAMPLES = 300


def pytest_configure(config: pytest.Config) -> None:
    """Make the profiles of hypothesis, where tests run: xdist's controller runs none and need not import it."""
    controls = config.getoption("numprocesses", None) and not hasattr(config, "workerinput")
    if controls and not config.getoption("--hypothesis-profile", None):
        return
    from hypothesis import HealthCheck, settings

    # The machine is shared and the first example often pays for an import: time is no verdict on a property.
    # Where others wait for the result the same examples are tried each time; on a desk new ones are.
    house = settings(
        deadline=None,
        print_blob=True,
        derandomize=in_ci(),
        suppress_health_check=[HealthCheck.too_slow],
        max_examples=UNIT_EXAMPLES,
    )
    settings.register_profile("house", house)
    settings.register_profile("thorough", house, max_examples=THOROUGH_EXAMPLES)
    settings.load_profile("house")


def in_ci() -> bool:
    """Say whether this run may skip nothing."""
    return bool(os.environ.get("CI"))


def require(condition: object, reason: str) -> None:
    """Go on when the condition holds; else skip here with the reason, and fail with it where CI is set."""
    if condition:
        return
    if in_ci():
        pytest.fail(f"needed where CI is set: {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without looking for garbage, and never look among what was imported: that would be slow each time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse sockets to unit tests (pytest-socket reads the mark)."""
    for item in items:
        if "unit" in Path(item.path).parts:
            item.add_marker(pytest.mark.disable_socket)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip of a test into a failure where CI is set."""
    return _without_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn a skip of a whole module into a failure where CI is set."""
    return _without_skip((yield))


def _without_skip(report: Report) -> Report:
    if report.skipped and in_ci() and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"nothing is skipped where CI is set: {reason.removeprefix('Skipped: ')}"
    return report
