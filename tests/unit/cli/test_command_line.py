"""Options before and after the command, the kubeconfig that is meant, exit codes."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from cli import kubeconfigs
from cli.errors import UsageError
from cli.main import _COMMANDS, main, wfe
from cli.options import Chosen, Output, common


@click.group()
@common(*Output)
@click.pass_context
def group(context: click.Context, chosen: Chosen) -> None:
    context.obj = chosen


@group.command()
@click.argument("name", required=False)
@common(Output.JSON)
def show(name: str | None, chosen: Chosen) -> None:
    click.echo(json.dumps([name, chosen.namespace, chosen.everywhere, chosen.output, chosen.kubeconfig]))


@pytest.mark.parametrize(
    ("words", "seen"),
    [
        ("show x", ["x", "", False, "", ""]),
        ("show x -n a -o json --kubeconfig f", ["x", "a", False, "json", "f"]),
        ("-n a --kubeconfig f show", [None, "a", False, "", "f"]),
        ("-n a -A show -n b", [None, "b", True, "", ""]),
    ],
)
def test_options_stand_before_or_after_the_command(words: str, seen: list[object]) -> None:
    result = CliRunner().invoke(group, words.split())
    assert json.loads(result.output) == seen


@pytest.mark.usefixtures("own_signals")
def test_without_a_command_help_is_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["wfe"])
    main()
    assert "Commands:" in capsys.readouterr().out


def test_every_command_explains_itself() -> None:
    for name in _COMMANDS:
        result = CliRunner().invoke(wfe, [name, "--help"])
        assert result.exit_code == 0
        assert "Usage:" in result.output


@pytest.fixture
def own_signals() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("own_signals")
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["local", "up", "--workers", "many"], 2, "error: Invalid value for '--workers'"),
        (["local", "up", "--set", "execution.cooldown_period=soon"], 2, "execution.cooldown_period=soon"),
        (["cancel", "one"], 2, "error: Missing option '--reason'"),
        (["clear", "one", "--reason", " "], 2, "error: --reason: allowed is a text of 1 to 1024 characters"),
        (["freeze", "--reason", "x" * 1025], 2, "error: --reason: allowed is"),
        (["plan", "-f", "/nowhere.yaml"], 2, "error: Invalid value for '-f'"),
        (["audit"], 2, "error: name an execution"),
        (["audit", "quarantine", "retry"], 2, "error: name the event ids"),
        (["config", "show", "--config", "/nowhere.yaml"], 2, "error: --config=/nowhere.yaml: allowed is a readable"),
        (["nonsense"], 2, "error: No such command 'nonsense'"),
        (["local", "status", "--name", "absent"], 1, "error: there is no stack absent"),
        (["get", "--kubeconfig", "/nowhere/kubeconfig"], 2, "error: there is no kubeconfig /nowhere/kubeconfig"),
    ],
)
def test_errors_are_one_line_and_an_exit_code(
    words: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WFE_STATE_DIR", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["wfe", *words])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == code
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert said in captured.err
    assert len(captured.err.splitlines()) == 1


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WFE_STATE_DIR", str(tmp_path / "state"))
    path = tmp_path / "kubeconfig"
    document = {
        "current-context": "one",
        "contexts": [
            {"name": "one", "context": {"cluster": "c", "user": "u", "namespace": "team"}},
            {"name": "two", "context": {"cluster": "c", "user": "u"}},
        ],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
    }
    path.write_text(yaml.safe_dump(document))
    return path


def test_the_namespace_is_that_of_the_context(kubeconfig: Path) -> None:
    assert kubeconfigs.choose(str(kubeconfig), "").namespace == "team"
    assert kubeconfigs.choose(str(kubeconfig), "two").namespace == "default"
    assert kubeconfigs.choose(str(kubeconfig), "").server == "https://127.0.0.1:1"
    with pytest.raises(UsageError, match='context "three"'):
        kubeconfigs.choose(str(kubeconfig), "three")
