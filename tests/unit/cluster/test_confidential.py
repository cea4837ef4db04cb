"""Errors of every write quote no confidential parameter, whatever admission says of it; nor do Kubernetes Events."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from models.actions import EmitEvent, EventReason
from models.confidential import confidential
from models.errors import ExecutorError, Permanent
from models.execution import Engine, Execution
from models.failure import refusal
from models.job import read_job
from models.manifest import run_manifest
from models.names import FINALIZER
from models.run import Run, read_run
from models.status import FailureReason, Phase
from tasks.adapters.engines import ClusterRuns
from tasks.adapters.executions import ClusterExecutions
from tests.unit.cluster.conftest import Serve
from tests.unit.cluster.scripted import Reply, Request, status
from tests.unit.rules.builders import NOW, POLICY, execution, spec

pytestmark = pytest.mark.enable_socket

SECRET = 'correct "horse" $(battery)\nstaple'
QUOTED = [SECRET, SECRET.replace("$", "$$"), json.dumps(SECRET), SECRET.replace("\n", " ")]
OURS = execution(spec=spec(parameters={"DB_PASSWORD": SECRET, "GRACE": "thirty"}))

READS = {"get", "all", "task_runs", "remains", "leftovers"}


def _manifest(engine: Engine) -> dict[str, Any]:
    return run_manifest(replace(OURS, spec=replace(OURS.spec, engine=engine)), 1, 7, POLICY)


def _read_back(engine: Engine) -> Run:
    """Return a run as the API server would show it, whose execution may be gone."""
    document = _manifest(engine)
    document["metadata"] |= {"uid": "run-1", "creationTimestamp": "2026-05-04T12:00:00Z"}
    return read_job(document) if engine is Engine.JOB else read_run(document)


def _told(owner: Execution) -> EmitEvent:
    return EmitEvent(EventReason.FAILED, f"TaskFailed: the task said {owner.spec.parameters['DB_PASSWORD']}", 1)


OF_EXECUTIONS: dict[str, Callable[[ClusterExecutions], object]] = {
    "add_finalizer": lambda port: port.add_finalizer(replace(OURS, finalizers=())),
    "remove_finalizer": lambda port: port.remove_finalizer(replace(OURS, finalizers=(FINALIZER,))),
    "patch_status": lambda port: port.patch_status(OURS, replace(OURS.status, phase=Phase.SKIPPED)),
    "emit": lambda port: port.emit(OURS, _told(OURS), NOW),
    "complain": lambda port: port.complain(OURS.key, _told(OURS).message, NOW),
}
OF_RUNS: dict[str, Callable[[ClusterRuns, Engine], object]] = {
    "create": lambda port, engine: port.create(_manifest(engine)),
    "delete": lambda port, engine: port.delete(_read_back(engine)),
    "cancel": lambda port, engine: port.cancel(_read_back(engine)),
}


def _says(words: str) -> Callable[[Request], Reply]:
    """Refuse every write and quote the parameter; show the execution."""

    def answer(request: Request) -> Reply:
        if request.method == "GET":
            metadata = {"name": "again", "namespace": "default", "uid": "0a1b"}
            return Reply(200, {"metadata": metadata, "spec": {"parameters": dict(OURS.spec.parameters)}})
        return Reply(403, status(403, "Forbidden", f"{'x' * 360} DB_PASSWORD is {words}, which is old"))

    return answer


def _fault(act: Callable[[], object]) -> str:
    with pytest.raises(ExecutorError) as caught:
        act()
    return str(caught.value) + repr(caught.value)


def _is_clean(text: str) -> bool:
    return "***" in text and not any(word in text for word in ("correct", "horse", "battery", "staple"))


def test_every_write_stands_here() -> None:
    def public(kind: type) -> set[str]:
        return {name for name, _ in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")} - READS

    assert public(ClusterExecutions) == set(OF_EXECUTIONS)
    assert public(ClusterRuns) == set(OF_RUNS)


@pytest.mark.parametrize("name", OF_EXECUTIONS)
def test_refused_write_to_an_execution_quotes_no_secret(serve: Serve, name: str) -> None:
    server, cluster = serve(_says(""))
    for words in QUOTED:
        server.script = _says(words)
        assert _is_clean(_fault(lambda: OF_EXECUTIONS[name](ClusterExecutions(cluster))))


@pytest.mark.parametrize("engine", list(Engine))
@pytest.mark.parametrize("name", OF_RUNS)
def test_refused_write_to_a_run_quotes_no_secret(serve: Serve, name: str, engine: Engine) -> None:
    server, cluster = serve(_says(""))
    for words in QUOTED:
        server.script = _says(words.replace("$$", "$").replace("$", "$$") if engine is Engine.JOB else words)
        assert _is_clean(_fault(lambda: OF_RUNS[name](ClusterRuns(cluster, "workflows"), engine)))


@pytest.mark.parametrize("name", ["emit", "complain"])
def test_kubernetes_event_quotes_no_secret(serve: Serve, name: str) -> None:
    server, cluster = serve(_says("nothing"))
    with pytest.raises(Permanent):
        OF_EXECUTIONS[name](ClusterExecutions(cluster))
    written = json.loads(server.requests[-1].body)
    assert written["message"] == "TaskFailed: the task said ***"


def test_a_secret_that_is_an_ordinary_word_changes_no_decision(serve: Serve) -> None:
    """A refusal is told apart by words of the API server, one of which may be the value of a parameter."""
    said = "ValidatingAdmissionPolicy 'no' with binding 'no' denied request: not today"
    _, cluster = serve(lambda request: Reply(422, status(422, "Invalid", said)))
    with pytest.raises(Permanent) as caught:
        cluster.create("/x", {}, hiding=confidential({"AUTH_MODE": "ValidatingAdmissionPolicy"}))
    assert "ValidatingAdmissionPolicy" not in str(caught.value)
    found = refusal(caught.value.reason, str(caught.value), caught.value.said)
    assert (found.reason, found.permanent) == (FailureReason.UNKNOWN, False)
    assert "ValidatingAdmissionPolicy" not in found.message
