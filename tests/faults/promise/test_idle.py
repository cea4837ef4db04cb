"""An idle stack leaves the API server alone: nothing is written but the leader's Lease, and hardly a task is run."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from cli.local import Stack
from devcluster import Cluster as LocalCluster
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from tests.faults.promise.watching import all_audited, declare, phases
from tests.waiting import until

WINDOW = 60.0
"""Seconds; the promise is about rates, so this one test does look at a stretch of time."""


def _writes(log: Path, after: int, since: str) -> list[str]:
    """Return what was asked for since then; the line of an earlier request may come after its answer."""
    lines = log.read_bytes()[after:].decode().splitlines()
    entries: list[dict[str, Any]] = [json.loads(line) for line in lines if line[:1] + line[-1:] == "{}"]
    return [
        f"{entry['verb']} {entry['requestURI']}"
        for entry in entries
        if entry["requestReceivedTimestamp"] > since
        and entry["verb"] in ("create", "update", "patch", "delete")
        and entry["user"]["username"].endswith(":kubernaut-executor")
        and "/leases/" not in entry["requestURI"]
    ]


def _released(cluster: Cluster) -> set[str]:
    told = cluster.list(paths.kubernetes_events("default"), field_selector="reason=LockReleased")
    return {event["involvedObject"]["name"] for event in told}


def _tasks_received(url: str, seconds: float) -> int:
    app = Celery(broker=url)
    received: list[dict[str, Any]] = []
    app.conf.broker_transport_options = {"global_keyprefix": "wfe:celery:"}
    with app.connection() as connection:
        receiver = app.events.Receiver(connection, handlers={"task-received": received.append})
        timer = threading.Timer(seconds, setattr, (receiver, "should_stop", True))
        timer.start()
        receiver.capture(limit=None, timeout=None, wakeup=False)
    return len(received)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_idle_stack_writes_nothing(stack: Stack, api_cluster: LocalCluster) -> None:
    assert api_cluster.audit_log is not None
    cluster = Cluster.connect(stack.kubeconfig)
    names = [f"idle-{number}" for number in range(3)]
    for name in names:
        declare(cluster, "default", name, f"idle/deployment/{name}", "scripted/outcome-success-50ms:v1")
    declare(cluster, "default", "idle-running", "idle/deployment/r", "scripted/outcome-hang:v1")
    until(lambda: phases(cluster, "default", ["idle-running"])["Running"] == 1, 120, "one runs on and on")
    declare(cluster, "default", "idle-waiting", "idle/deployment/r", "scripted/outcome-hang:v1")
    until(lambda: phases(cluster, "default", names)["Completed"] == 3, 120, "all have ended")
    until(lambda: all_audited(cluster, "default", [*names, "idle-waiting"]), 180, "and are acknowledged")
    until(lambda: _released(cluster) >= set(names), 180, "the targets of those that ended are free again")
    with redis.Redis.from_url(stack.redis_url) as client:
        until(lambda: not client.exists("wfe:claims"), 60, "no pass is under way")
    before, since = api_cluster.audit_log.stat().st_size, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    tasks = _tasks_received(stack.redis_url, WINDOW)
    assert _writes(api_cluster.audit_log, before, since) == []
    assert 0 < tasks <= WINDOW, tasks
