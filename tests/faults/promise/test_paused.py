"""A worker that is paused for longer than its claims last, and one that is asked to end while it is at work."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import redis

from cli.local import Stack
from models.keys import Key
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from tests.faults.promise.conftest import SETTINGS
from tests.faults.promise.watching import RunWatch, all_audited, caught, declare, phases, stored_events
from tests.stack_plugin import StackFactory
from tests.waiting import until

IMAGE = "scripted/outcome-success-100ms:v1"
RUNS = "kubernaut-workflows"
ONCE = [("workflow.started", 1), ("workflow.completed", 1)]
BATCH = 20
GAVE_UP = "took longer than its claim lasts"


@pytest.fixture(scope="module")
def hasty(stack_factory: StackFactory) -> Stack:
    """Start a stack in which claims are as short as they may be."""
    return stack_factory(workers=2, tekton="scripted", settings={**SETTINGS, "celery.claim": "2s"})


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_paused_worker_writes_nothing_once_its_passes_are_taken_over(hasty: Stack) -> None:
    cluster = Cluster.connect(hasty.kubeconfig)
    names: list[str] = []
    log = hasty.log("worker-1")
    with redis.Redis.from_url(hasty.redis_url) as client, RunWatch(cluster, RUNS) as runs:
        for turn in range(12):
            before, pid = _gave_up(log), hasty.pids["worker-1"]
            batch = _declare(cluster, f"paused-{int(time.time())}-{turn}")
            names += batch
            if not caught(client, cluster, batch, 3):
                continue
            os.kill(pid, signal.SIGSTOP)
            try:
                _until_settled(cluster, batch)
                settled = _versions(cluster, batch)
            finally:
                os.kill(pid, signal.SIGCONT)
            hasty.stop("worker-2")
            later = f"{batch[0]}-later"
            declare(cluster, "default", later, f"paused/deployment/{later}", IMAGE)
            _until_settled(cluster, [later])
            assert _versions(cluster, batch) == settled, "it wrote what others had finished"
            assert hasty.pids["worker-1"] == pid
            hasty.start("worker-2")
            if _gave_up(log) > before:
                break
    assert _gave_up(log), "no pass was hit"
    print(_gave_up(log), "passes given up, in turn", turn)
    assert runs.overlaps == []
    assert set(runs.created.values()) == {1}
    for name in names:
        assert stored_events(hasty, name) == ONCE, name


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_worker_that_is_asked_to_end_finishes_its_passes_and_exits_with_zero(hasty: Stack) -> None:
    cluster = Cluster.connect(hasty.kubeconfig)
    names: list[str] = []
    log = hasty.log("worker-1")
    before = log.stat().st_size  # the test above has paused it, which may have cost it a connection
    with redis.Redis.from_url(hasty.redis_url) as client, RunWatch(cluster, RUNS) as runs:
        for turn in range(3):
            batch = _declare(cluster, f"ends-{int(time.time())}-{turn}")
            names += batch
            caught(client, cluster, batch, 3)
            hasty.stop("worker-1")
            state = hasty.states["worker-1"]
            assert (state.pid, state.exit_status) == (0, 0)
            _until_settled(cluster, batch)
            hasty.start("worker-1")
    assert b"Traceback" not in log.read_bytes()[before:]
    assert runs.overlaps == []
    assert set(runs.created.values()) == {1}
    for name in names:
        assert stored_events(hasty, name) == ONCE, name


def _declare(cluster: Cluster, stem: str) -> list[str]:
    names = [f"{stem}-{number}" for number in range(BATCH)]
    for name in names:
        declare(cluster, "default", name, f"paused/deployment/{name}", IMAGE)
    return names


def _until_settled(cluster: Cluster, names: list[str]) -> None:
    """Wait until nobody has anything left to write."""
    until(lambda: phases(cluster, "default", names)["Completed"] == len(names), 180, "all end", every=0.3)
    until(lambda: all_audited(cluster, "default", names), 180, "all is audited", every=0.3)
    until(lambda: not list(cluster.list(paths.pipeline_runs(RUNS))), 180, "all is cleaned up", every=0.3)


def _versions(cluster: Cluster, names: list[str]) -> list[str]:
    found = (cluster.get(paths.execution(Key("default", name))) or {} for name in names)
    return [document["metadata"]["resourceVersion"] for document in found]


def _gave_up(log: Path) -> int:
    return log.read_text(errors="replace").count(GAVE_UP)
