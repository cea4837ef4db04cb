"""What one call to the API server costs: `python -m tests.bench.cluster_calls KUBECONFIG` (a cluster with our CRD).

Prints microseconds of our own CPU and milliseconds of wall time, beside bare urllib3 on the same connection.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import orjson

from models.keys import Key
from tasks.adapters import paths
from tasks.adapters.cluster import MERGE_PATCH, Cluster

CALLS = 400
KEY = Key("default", "bench-calls")
EXECUTION = {
    "apiVersion": "kubernaut.ai/v1alpha1",
    "kind": "WorkflowExecution",
    "metadata": {"name": KEY.name},
    "spec": {
        "remediationRequestRef": {"name": "incident"},
        "workflowRef": {"workflowId": "restart", "version": "1", "containerImage": "registry/restart:1"},
        "targetResource": "default/deployment/shop",
        "parameters": {f"P{number}": "value" * 10 for number in range(20)},
    },
}


def measure(call: Callable[[int], object]) -> tuple[float, float, float]:
    """Return CPU in microseconds, and the median and 99th percentile of wall time in milliseconds."""
    for number in range(20):
        call(-number)
    walls = []
    cpu = time.process_time()
    for number in range(CALLS):
        start = time.perf_counter()
        call(number)
        walls.append((time.perf_counter() - start) * 1000)
    cpu = (time.process_time() - cpu) / CALLS * 1e6
    return cpu, statistics.median(walls), statistics.quantiles(walls, n=100)[98]


def main(kubeconfig: str) -> None:
    cluster = Cluster.connect(kubeconfig)
    path = paths.execution(KEY)
    if cluster.get(path) is None:
        cluster.create(paths.executions(KEY.namespace), EXECUTION)
    transport = cluster._session.transport
    pool, headers = transport._pool, transport._headers("")

    def bare_get(number: int) -> object:
        return orjson.loads(pool.urlopen("GET", path, headers=headers, retries=False, timeout=10).data)

    def bare_patch(number: int) -> object:
        body = orjson.dumps({"status": {"duration": f"{number}s"}})
        patch_headers = {**headers, "Content-Type": MERGE_PATCH}
        url = path + "/status"
        return orjson.loads(
            pool.urlopen("PATCH", url, body=body, headers=patch_headers, retries=False, timeout=10).data
        )

    def patch(number: int) -> object:
        return cluster.merge_patch(path, {"status": {"duration": f"{number}s"}}, subresource="status")

    rows = {
        "get, adapter": lambda number: cluster.get(path),
        "get, bare urllib3": bare_get,
        "patch status, adapter": patch,
        "patch status, bare urllib3": bare_patch,
        "get of nothing (404), adapter": lambda number: cluster.get(path + "-none"),
    }
    print(f"{'call':32} {'us CPU':>8} {'ms p50':>8} {'ms p99':>8}")
    for name, call in rows.items():
        cpu, median, slow = measure(call)
        print(f"{name:32} {cpu:8.0f} {median:8.2f} {slow:8.2f}")
    document = cluster.get(path)
    assert document is not None
    cluster.delete(path, uid=document["metadata"]["uid"])


if __name__ == "__main__":
    main(sys.argv[1])
