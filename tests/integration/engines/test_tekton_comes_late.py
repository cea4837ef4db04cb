"""A stack on a cluster without Tekton: who asks for it waits in sight and in nobody's way, until it comes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cli.local import Stack
from devcluster import builds, manifests, scripted
from devcluster import cluster as local_clusters
from devcluster.cluster import Cluster as LocalCluster
from tests.stack_plugin import StackFactory
from tests.terminal import RUNS, Terminal, sit_down
from tests.waiting import until

TARGET = "late/deployment/web"
ENDED_AT = "2026-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def bare() -> Iterator[LocalCluster]:
    """Start an API server of this module's own, without any CRD."""
    with local_clusters.start("api", say=lambda line: None) as started:
        yield started


@pytest.fixture(scope="module")
def stack(bare: LocalCluster, stack_factory: StackFactory) -> Stack:
    return stack_factory(workers=2, tekton="none", on=bare)


def _job(terminal: Terminal) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(terminal.kubectl("get", "job", "-n", RUNS, "-o", "json"))["items"]
    return found[0] if found else {}


def _serves_runs(terminal: Terminal) -> bool:
    """A CRD that was just created is answered with errors until its storage is ready."""
    kinds = "pipelineruns.tekton.dev,taskruns.tekton.dev"
    return "rror" not in terminal.kubectl("get", kinds, "-n", RUNS, check=False)


def _finish(terminal: Terminal, job: dict[str, Any]) -> None:
    """Say of a Job what the Job controller, which this cluster does not have, says of one that succeeded."""
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": ENDED_AT} for kind in ("SuccessCriteriaMet", "Complete")
    ]
    status = {"startTime": ENDED_AT, "completionTime": ENDED_AT, "succeeded": 1, "conditions": conditions}
    words = ("patch", "job", "-n", RUNS, job["metadata"]["name"], "--subresource=status", "--type=merge", "-p")
    terminal.kubectl(*words, json.dumps({"status": status}))


@pytest.mark.timeout(400)
def test_tekton_that_comes_late_is_used_without_a_restart(bare: LocalCluster, stack: Stack) -> None:
    terminal, pids = sit_down(stack), stack.pids
    terminal.declare("first", TARGET)
    terminal.declare("second", TARGET)
    for name in ("first", "second"):
        status = terminal.shows(name, "reason", "EngineUnavailable", 60)
        assert status["phase"] == "Pending"
        assert "queue" not in status
        (condition,) = [c for c in status["conditions"] if c["type"] == "TektonPipelineCreated"]
        assert (condition["status"], condition["reason"]) == ("False", "PipelineCreationFailed")
        assert "tekton" in condition["message"]
    assert terminal.kubectl("get", "wfe").count("EngineUnavailable") == 2

    image = {"workflowId": "w", "version": "1", "containerImage": "registry.example/w:v1", "executionEngine": "job"}
    terminal.declare("job", TARGET, workflowRef=image)
    terminal.reaches("job", "Running", 60)
    job = _job(terminal)
    assert job["metadata"]["labels"]["kubernaut.ai/workflow-execution"] == "job"
    _finish(terminal, job)
    terminal.reaches("job", "Completed", 60)
    until(lambda: "LockReleased" in terminal.events("job"), 60, "the target is free again", every=0.2)
    assert terminal.status("first")["reason"] == "EngineUnavailable"

    builds.ensure(None, tekton_crds=True, say=lambda line: None)
    bare.apply(manifests.load(builds.prepared(manifests.CRDS)))
    until(lambda: _serves_runs(terminal), 60, "the API server serves PipelineRuns and TaskRuns", every=0.2)
    with scripted.start(bare.kubeconfig, namespace=RUNS):
        ended = {name: terminal.reaches(name, "Completed", 90) for name in ("first", "second")}
        one, other = sorted(ended.values(), key=lambda status: str(status["startTime"]))
        assert one["completionTime"] < other["startTime"], "one after the other: they want the same target"
        for name, status in ended.items():
            assert (status["attempt"], status.get("consecutiveFailures", 0)) == (1, 0)
            assert terminal.told(name)[-2:] == ["started", "completed"]
            assert "PipelineRunCreated" in terminal.events(name)
    assert stack.pids == pids, "no part was started again"
