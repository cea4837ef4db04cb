"""What the API server alone allows: the contract's own writes of one clean success, and nothing else.

    python -m tests.bench.floor --kubeconfig FILE --count 600

Eight threads write, one execution after the other, what an executor and a Tekton with the fewest writes have to: the
execution, its finalizer, its run, the run's two states, three states of the execution, two Kubernetes Events. No
queue, no lock, no decision, no read. Three watches are open, as the watcher and Tekton have them. How many
executions a minute that makes is the most that any executor can reach on this machine with these writes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from models.keys import Key
from models.names import API_VERSION, FINALIZER
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from tests.bench.latency import an_execution, watch

AT = "2026-01-01T00:00:00Z"
THREADS = 8
_CPU = re.compile(rb"^process_cpu_seconds_total (\S+)", re.MULTILINE)


def condition(kind: str, status: str, reason: str) -> dict[str, str]:
    message = f"{reason}: the sentence that an operator reads here is about as long as this one"
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": AT}


RUNNING = {
    "phase": "Running",
    "startTime": AT,
    "attempt": 1,
    "observedGeneration": 1,
    "lock": {"fence": 1_700_000_000_000_000},
    "pipelineRunRef": {"name": "wfe-0123456789abcdef"},
    "audit": {"pending": [{"type": "started", "attempt": 1, "at": AT}]},
    "conditions": [
        condition("TektonPipelineCreated", "True", "PipelineCreated"),
        condition("TektonPipelineRunning", "True", "PipelineStarted"),
        condition("AuditRecorded", "False", "AuditPending"),
    ],
}
COMPLETED = {
    **RUNNING,
    "phase": "Completed",
    "completionTime": AT,
    "duration": "1s",
    "pipelineRunStatus": {"status": "True", "reason": "Succeeded", "completedTasks": 1, "totalTasks": 1},
    "audit": {"pending": [{"type": "completed", "attempt": 1, "at": AT}]},
    "conditions": [*RUNNING["conditions"][:2], condition("TektonPipelineComplete", "True", "PipelineSucceeded")],  # type: ignore[index]
}
RECORDED = {
    "audit": None,
    "conditions": [*COMPLETED["conditions"], condition("AuditRecorded", "True", "AuditSucceeded")],  # type: ignore[misc]
}
PLAYED = (("Unknown", "Running"), ("True", "Succeeded"))


def one(cluster: Cluster, namespace: str, runs: str, name: str) -> None:
    """Write what one clean success costs."""
    made = cluster.create(paths.executions(namespace), an_execution(namespace, name, "bench/floor:v1"))
    path = paths.execution(Key(namespace, name))
    cluster.merge_patch(path, {"metadata": {"finalizers": [FINALIZER], "uid": made["metadata"]["uid"]}})
    cluster.create(paths.pipeline_runs(runs), plain_run(runs, name))
    cluster.merge_patch(path, {"status": RUNNING}, subresource="status")
    _tell(cluster, namespace, name, "PipelineRunCreated")
    for status, reason in PLAYED:
        played = {"status": {"startTime": AT, "conditions": [condition("Succeeded", status, reason)]}}
        cluster.merge_patch(paths.pipeline_run(runs, name), played, subresource="status")
    cluster.merge_patch(path, {"status": COMPLETED}, subresource="status")
    _tell(cluster, namespace, name, "WorkflowCompleted")
    cluster.merge_patch(path, {"status": RECORDED}, subresource="status")


def plain_run(namespace: str, name: str) -> dict[str, Any]:
    return {
        "apiVersion": "tekton.dev/v1",
        "kind": "PipelineRun",
        "metadata": {"name": name, "namespace": namespace, "labels": {"kubernaut.ai/workflow-execution": name}},
        "spec": {
            "pipelineRef": {"resolver": "bundles", "params": [{"name": "bundle", "value": "bench/floor:v1"}]},
            "params": [{"name": "TARGET_RESOURCE", "value": name}],
            "timeouts": {"pipeline": "30m0s"},
        },
    }


def _tell(cluster: Cluster, namespace: str, name: str, reason: str) -> None:
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{name}.{reason.lower()}", "namespace": namespace},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": "WorkflowExecution",
            "name": name,
            "namespace": namespace,
        },
        "reason": reason,
        "message": "the sentence that an operator reads here is about as long as this one",
        "type": "Normal",
        "source": {"component": "workflowexecution-controller"},
        "firstTimestamp": AT,
        "lastTimestamp": AT,
        "count": 1,
    }
    cluster.create(f"/api/v1/namespaces/{namespace}/events", event)


def server_cpu(cluster: Cluster) -> float:
    """Return the seconds of CPU that the API server has used so far."""
    found = _CPU.search(cluster._session.transport.send("GET", "/metrics", None, "", 30).body)
    assert found, "the API server says nothing about its CPU"
    return float(found.group(1))


def main() -> int:
    """Measure, clean up and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--namespace", default="default")
    parser.add_argument("--runs", default="kubernaut-workflows")
    given = parser.parse_args()
    cluster = Cluster.connect(given.kubeconfig)
    names = [f"floor-{int(time.time())}-{number}" for number in range(given.count)]
    for path in (paths.executions(), paths.pipeline_runs(), paths.pipeline_runs()):
        watch(cluster, path, lambda _: None)
    before, own, began = server_cpu(cluster), time.process_time(), time.perf_counter()
    with ThreadPoolExecutor(THREADS) as threads:
        list(
            threads.map(
                one, itertools.repeat(cluster), *zip(*[(given.namespace, given.runs, n) for n in names], strict=True)
            )
        )
    took = time.perf_counter() - began
    figures = {
        "executions_per_minute": round(60 * given.count / took),
        "api_server_cpu_ms": round(1000 * (server_cpu(cluster) - before) / given.count, 1),
        "client_cpu_ms": round(1000 * (time.process_time() - own) / given.count, 1),
    }
    for name in names:
        path = paths.execution(Key(given.namespace, name))
        for each in (path, paths.pipeline_run(given.runs, name)):
            document = cluster.get(each)
            if document is not None:
                cluster.merge_patch(each, {"metadata": {"finalizers": None}})
                cluster.delete(each, uid=document["metadata"]["uid"])
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
