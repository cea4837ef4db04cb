"""Any part may die at any time: what was declared before and after is carried out once and audited once."""

from __future__ import annotations

import time

import pytest

from cli.local import Stack
from models.keys import Key
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from tests.faults.promise.watching import RunWatch, all_audited, declare, phases, stored_events
from tests.waiting import until

RUNS = "kubernaut-workflows"
IMAGE = "scripted/outcome-success-300ms:v1"
ONCE = [("workflow.started", 1), ("workflow.completed", 1)]


def _declare(cluster: Cluster, stem: str, count: int) -> list[str]:
    names = [f"{stem}-{number}" for number in range(count)]
    for name in names:
        declare(cluster, "default", name, f"parts/deployment/{name}", IMAGE)
    return names


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", ["watcher", "beat", "redis", "datastorage", "worker-2"])
def test_killed_part_costs_nothing_but_time(stack: Stack, part: str) -> None:
    cluster = Cluster.connect(stack.kubeconfig)
    stem = f"die-{part}-{int(time.time())}"
    with RunWatch(cluster, RUNS) as runs:
        before = _declare(cluster, f"{stem}-before", 10)
        stack.kill9(part)
        names = [*before, *_declare(cluster, f"{stem}-after", 10)]
        until(
            lambda: phases(cluster, "default", names)["Completed"] == 20, 240, f"{part} is back, all is done", every=0.5
        )
        until(lambda: all_audited(cluster, "default", names), 240, "all is audited", every=0.5)
    assert runs.overlaps == []
    assert set(runs.created.values()) == {1}
    for name in names:
        assert stored_events(stack, name) == ONCE, name


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_executions_go_on_while_datastorage_is_away(stack: Stack) -> None:
    cluster = Cluster.connect(stack.kubeconfig)
    stack.stop("datastorage")
    names = _declare(cluster, f"away-{int(time.time())}", 10)
    until(lambda: phases(cluster, "default", names)["Completed"] == 10, 180, "all end without their audit", every=0.3)
    for name in names:
        status = (cluster.get(paths.execution(Key("default", name))) or {})["status"]
        audit = next(c for c in status["conditions"] if c["type"] == "AuditRecorded")
        assert (audit["status"], audit["reason"]) == ("False", "AuditPending")
        assert [fact["type"] for fact in status["audit"]["pending"]] == ["workflow.started", "workflow.completed"]
    stack.start("datastorage")
    until(lambda: all_audited(cluster, "default", names), 240, "all is audited", every=0.5)
    for name in names:
        assert stored_events(stack, name) == ONCE, name
