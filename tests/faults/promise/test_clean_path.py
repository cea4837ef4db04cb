"""What a clean success costs the API server and what it leaves to be read, by the API server's own audit log."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cli.local import Stack
from devcluster import Cluster as LocalCluster
from models.keys import Key
from models.target import run_name
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from tests.faults.promise.watching import all_audited, declare, phases, repaired
from tests.waiting import until

EXECUTIONS = 20
BUDGET = 6
"""Finalizer, run, Running, end, AuditRecorded, clean-up: CONTRACT 3."""

CONDITIONS = {
    "TektonPipelineCreated": ("True", "PipelineCreated"),
    "TektonPipelineRunning": ("True", "PipelineStarted"),
    "TektonPipelineComplete": ("True", "PipelineSucceeded"),
    "AuditRecorded": ("True", "AuditSucceeded"),
}


def _writes(log: Path, after: int) -> list[dict[str, Any]]:
    lines = log.read_bytes()[after:].decode().splitlines()
    entries: list[dict[str, Any]] = [json.loads(line) for line in lines if line[:1] + line[-1:] == "{}"]
    return [
        entry
        for entry in entries
        if entry["verb"] in ("create", "update", "patch", "delete")
        and entry["user"]["username"].endswith(":kubernaut-executor")
        and "/leases" not in entry["requestURI"]
    ]


def _events(cluster: Cluster, name: str) -> Counter[str]:
    told = cluster.list(paths.kubernetes_events("default"), field_selector=f"involvedObject.name={name}")
    return Counter(event["reason"] for event in told)


def _written(entries: list[dict[str, Any]], name: str, target: str) -> list[str]:
    """Return what was written for one execution; a creation's path does not name what it creates."""
    run = run_name(target)
    uris = [f"{entry['verb']} {entry['requestURI'].partition('?')[0]}" for entry in entries]
    return [uri for uri in uris if uri.endswith((f"/{name}", f"/{name}/status", f"/{run}"))]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_clean_success_stays_within_its_writes_and_meets_no_conflict(stack: Stack, api_cluster: LocalCluster) -> None:
    log = api_cluster.audit_log
    assert log is not None
    cluster = Cluster.connect(stack.kubeconfig)
    for turn in range(3):
        before, interfered = log.stat().st_size, repaired(stack)
        targets = _carried_out(cluster, f"clean-{int(time.time())}-{turn}")
        # Where the machine was away for seconds a sweep takes a pass over, and that is no clean path.
        if repaired(stack) == interfered:
            break
    entries = _writes(log, before)
    refused = [e for e in entries if e["responseStatus"]["code"] >= 400]
    assert [(e["requestURI"], e["responseStatus"]["code"]) for e in refused] == []
    others = [e for e in entries if "/events" not in e["requestURI"]]
    made = [e for e in others if e["verb"] == "create"]
    assert len(made) == EXECUTIONS, "one creation each, and nothing else is created"
    assert len(others) <= BUDGET * EXECUTIONS
    for name, target in targets.items():
        written = _written(others, name, target)
        assert len(written) + 1 <= BUDGET, written
        document = cluster.get(paths.execution(Key("default", name))) or {}
        conditions = {c["type"]: (c["status"], c["reason"]) for c in document["status"]["conditions"]}
        assert conditions == CONDITIONS
        assert _events(cluster, name) == {"PipelineRunCreated": 1, "WorkflowCompleted": 1, "LockReleased": 1}


def _carried_out(cluster: Cluster, stem: str) -> dict[str, str]:
    """Let so many executions begin and end, and return the target of each."""
    targets = {f"{stem}-{number}": f"clean/deployment/{stem}-{number}" for number in range(EXECUTIONS)}
    for name, target in targets.items():
        declare(cluster, "default", name, target, "scripted/outcome-success-300ms:v1")
    until(lambda: phases(cluster, "default", targets)["Completed"] == EXECUTIONS, 180, "all have ended", every=0.3)
    until(lambda: all_audited(cluster, "default", targets), 180, "all is acknowledged", every=0.3)
    until(
        lambda: all("LockReleased" in _events(cluster, name) for name in targets), 180, "all is cleaned up", every=0.5
    )
    return targets
