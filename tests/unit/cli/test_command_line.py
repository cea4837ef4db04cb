"""Options before and after the command, the kubeconfig that is meant, exit codes."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from cli import kubeconfigs
from cli.access import REDIS_PATIENCE, open_access, settings_in_force
from cli.errors import UsageError
from cli.local import record
from cli.local.request import StackRequest
from cli.main import _COMMANDS, main, wfe
from cli.options import Chosen, Output, common
from devcluster.processes import identify


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


def test_a_list_of_kubeconfigs_is_read_as_kubectl_reads_it(kubeconfig: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    contexts = [{"name": name, "context": {"cluster": "c", "namespace": "other"}} for name in ("two", "three")]
    clusters = [{"name": "c", "cluster": {"server": "https://127.0.0.1:2"}}]
    other.write_text(yaml.safe_dump({"current-context": "three", "contexts": contexts, "clusters": clusters}))
    missing = str(tmp_path / "missing")

    found = kubeconfigs.choose(os.pathsep.join(["", missing, str(kubeconfig), missing, str(other)]), "")
    assert (found.context, found.namespace, found.server) == ("one", "team", "https://127.0.0.1:1")
    both = os.pathsep.join([str(kubeconfig), str(other)])
    assert kubeconfigs.choose(both, "two").namespace == "default"
    assert kubeconfigs.choose(both, "three").namespace == "other"
    with pytest.raises(UsageError, match=f"there is no kubeconfig {missing}{os.pathsep}{missing}"):
        kubeconfigs.choose(os.pathsep.join([missing, missing]), "")


def test_config_show_heeds_the_context_of_the_settings(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it shows is what a command works with: the stack's settings, unless there is no such context."""
    places = record.places_of("default")
    places.root.mkdir(parents=True)
    places.settings.write_text("redis: {prefix: of-the-stack}")
    record.write(
        places,
        record.Record(
            request=StackRequest(),
            ports={},
            redis_server="",
            kubeconfig=str(kubeconfig),
            owned_cluster="",
            phase=record.StackPhase.READY,
            supervisor=identify(os.getpid()),
        ),
    )
    for name in ("WFE_CONFIG", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WFE_KUBERNETES_CONTEXT", "two")
    for settings in (settings_in_force(Chosen())[0], open_access(Chosen()).settings):
        assert settings.redis.prefix == "of-the-stack"
    monkeypatch.setenv("WFE_KUBERNETES_CONTEXT", "three")
    with pytest.raises(UsageError, match='context "three"'):
        open_access(Chosen())
    assert settings_in_force(Chosen())[0].redis.prefix == "wfe"


def test_who_says_where_the_audit_is_needs_no_kubeconfig_unless_one_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WFE_CONFIG", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WFE_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UsageError, match="there is no kubeconfig"):
        open_access(Chosen())
    monkeypatch.setenv("WFE_AUDIT_DATASTORAGE_URL", "http://127.0.0.1:1")
    access = open_access(Chosen(namespace="team"))
    assert (access.settings.audit.datastorage_url, access.namespace) == ("http://127.0.0.1:1", "team")
    assert access.settings.redis.socket_timeout == REDIS_PATIENCE
    with pytest.raises(UsageError, match="there is no kubeconfig"):
        _ = access.cluster
    for asked in (Chosen(kubeconfig=str(tmp_path / "absent")), Chosen(context="one")):
        with pytest.raises(UsageError, match="there is no kubeconfig"):
            open_access(asked)
