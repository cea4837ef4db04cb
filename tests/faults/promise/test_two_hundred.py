"""Two hundred executions on twenty targets through two workers: never two runs on a target, nothing lost or doubled.

Three times: undisturbed, with a worker killed in the middle, with Redis emptied in the middle.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import redis

from cli.local import Stack
from tasks.adapters.cluster import Cluster
from tests.faults.promise.watching import ENDED, RunWatch, all_audited, declare, phases, stored_events
from tests.waiting import until

EXECUTIONS, TARGETS = 200, 20
RUNS = "kubernaut-workflows"
IMAGE = "scripted/outcome-success-100ms:v1"


def _nothing(_: Stack) -> None:
    """Disturb nobody."""


def _kill_a_worker(stack: Stack) -> None:
    stack.kill9("worker-1")


def _empty_redis(stack: Stack) -> None:
    with redis.Redis.from_url(stack.redis_url) as client:
        client.flushall()


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("disturb", [_nothing, _kill_a_worker, _empty_redis])
def test_promise_holds(stack: Stack, disturb: Callable[[Stack], None]) -> None:
    cluster = Cluster.connect(str(stack.kubeconfig))
    stem = f"p{disturb.__name__.strip('_').replace('_', '-')}-{int(time.time())}"
    names = [f"{stem}-{number}" for number in range(EXECUTIONS)]
    with RunWatch(cluster, RUNS) as runs:
        for number, name in enumerate(names):
            declare(cluster, "default", name, f"promise/deployment/{stem}-{number % TARGETS}", IMAGE)

        def ended() -> int:
            return sum(phases(cluster, "default", names)[phase] for phase in ENDED)

        until(lambda: ended() >= EXECUTIONS // 4, 240, "a quarter has ended", every=0.3)
        disturb(stack)
        until(lambda: ended() == EXECUTIONS, 400, "all have ended", every=0.5)
        assert phases(cluster, "default", names) == {"Completed": EXECUTIONS}
        until(lambda: all_audited(cluster, "default", names), 240, "DataStorage acknowledged every fact", every=1)
        until(lambda: len(runs.created) >= EXECUTIONS, 60, "the watch has shown every run")
    assert runs.overlaps == []
    assert len(runs.created) == EXECUTIONS
    assert set(runs.created.values()) == {1}
    for name in names:
        stored = stored_events(stack, name)
        assert len(set(stored)) == len(stored), (name, stored)
        assert set(stored) - {("workflow.queued", 1)} == {("workflow.started", 1), ("workflow.completed", 1)}, name
        assert stored[-2:] == [("workflow.started", 1), ("workflow.completed", 1)], name
