"""Measure how soon a run exists after its execution, and how soon an execution ends after its run.

Against a running stack whose Tekton lets runs take about a second (`wfe local up --tekton scripted`):

    python -m tests.bench.latency --kubeconfig FILE --rate 2 --count 60

Start: from the answer to the creation of an execution to the watch event of its run. Finish: from the watch
event of the run's end to the watch event of the execution's terminal phase. Both instants are this process's clock.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import orjson

from models.keys import Key
from models.names import API_VERSION, KIND
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster

ENDED = ("Completed", "Failed", "Skipped")


class Stopwatch:
    """When each execution was seen to reach each point; seconds of one monotonic clock."""

    def __init__(self) -> None:
        self.points: dict[str, dict[str, float]] = {}
        self.took = 0.0
        self._lock = threading.Lock()

    def mark(self, name: str, point: str) -> None:
        with self._lock:
            self.points.setdefault(name, {}).setdefault(point, time.perf_counter())

    def spans(self, begin: str, end: str) -> list[float]:
        """Return the milliseconds between two points of every execution that reached both, sorted."""
        pairs = [(p[begin], p[end]) for p in self.points.values() if begin in p and end in p]
        return sorted((last - first) * 1000 for first, last in pairs)


def watch(cluster: Cluster, path: str, see: Callable[[dict[str, Any]], None]) -> None:
    """Hand every object of a watch from now on to `see`, in a thread of its own."""
    version = cluster.list_page(path, limit=1).resource_version

    def follow() -> None:
        params = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "3000"}
        with cluster.stream(path, params, read_timeout=timedelta(minutes=50)) as lines:
            for line in lines:
                see(orjson.loads(line)["object"])

    threading.Thread(target=follow, daemon=True).start()


def measure(cluster: Cluster, rate: float, count: int, runs: str, namespace: str, image: str) -> Stopwatch:
    """Create executions at an even rate, each on a target of its own, and wait until all have ended.

    No rate (0): all at once, from eight threads.
    """
    stopwatch = Stopwatch()

    def see_execution(document: dict[str, Any]) -> None:
        if (document.get("status") or {}).get("phase") in ENDED:
            stopwatch.mark(document["metadata"]["name"], "ended")

    def see_run(document: dict[str, Any]) -> None:
        name = document["metadata"]["labels"]["kubernaut.ai/workflow-execution"]
        stopwatch.mark(name, "run")
        for condition in (document.get("status") or {}).get("conditions") or ():
            if condition["type"] == "Succeeded" and condition["status"] != "Unknown":
                stopwatch.mark(name, "run ended")

    watch(cluster, paths.executions(namespace), see_execution)
    watch(cluster, paths.pipeline_runs(runs), see_run)
    stem, begin = f"bench-{int(time.time())}", time.perf_counter()
    names = [f"{stem}-{number}" for number in range(count)]

    def declare(name: str) -> None:
        cluster.create(paths.executions(namespace), an_execution(namespace, name, image))
        stopwatch.mark(name, "created")

    if rate:
        for number, name in enumerate(names):
            time.sleep(max(begin + number / rate - time.perf_counter(), 0))
            declare(name)
    else:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(declare, names))
    deadline = time.perf_counter() + 300
    while time.perf_counter() < deadline and any("ended" not in stopwatch.points.get(name, {}) for name in names):
        time.sleep(0.05)
    stopwatch.took = time.perf_counter() - begin
    for name in names:
        document = cluster.get(paths.execution(Key(namespace, name)))
        if document is not None:
            cluster.delete(paths.execution(Key(namespace, name)), uid=document["metadata"]["uid"])
    return stopwatch


def an_execution(namespace: str, name: str, image: str) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "remediationRequestRef": {"name": name},
            "workflowRef": {"workflowId": "bench", "version": "1", "containerImage": image},
            "targetResource": f"bench/deployment/{name}",
        },
    }


def summary(values: list[float]) -> dict[str, float]:
    """Return p50, p90, p99 and max, milliseconds."""
    if not values:
        return {}
    at = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
    shares = {name: round(values[min(int(len(values) * share), len(values) - 1)], 1) for name, share in at.items()}
    return {"n": len(values), **shares, "max": round(values[-1], 1)}


def main() -> int:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--rate", type=float, default=2, help="executions a second; 0: a burst, all at once")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--namespace", default="default")
    parser.add_argument("--runs", default="kubernaut-workflows")
    parser.add_argument("--image", default="scripted/outcome-success-1s:v1")
    given = parser.parse_args()
    cluster = Cluster.connect(given.kubeconfig)
    seen = measure(cluster, given.rate, given.count, given.runs, given.namespace, given.image)
    figures: dict[str, Any] = {"rate": given.rate, "start_ms": summary(seen.spans("created", "run"))}
    figures["finish_ms"] = summary(seen.spans("run ended", "ended"))
    figures["ended_per_minute"] = round(60 * len(seen.spans("created", "ended")) / seen.took)
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
