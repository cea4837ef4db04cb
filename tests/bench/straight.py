"""How soon a run could exist at best: the same requests in one process, straight from the watch event.

    python -m tests.bench.straight --kubeconfig FILE --rate 2 --count 60

No queue, no Redis, no Celery, no lock: a thread reads the execution, writes its finalizer and creates the run; at the
run's end it reads both and writes the end. The instants are those of `tests.bench.latency`, so the difference is ours.
"""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from models.keys import Key
from models.names import FINALIZER
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from tests.bench.floor import COMPLETED, condition, plain_run
from tests.bench.latency import Stopwatch, an_execution, summary, watch

ENDED = {"status": {"conditions": [condition("Succeeded", "True", "Succeeded")]}}


class Straight:
    """An executor without anything between the watch and its requests."""

    def __init__(self, cluster: Cluster, namespace: str, runs: str) -> None:
        self.stopwatch = Stopwatch()
        self._cluster, self._namespace, self._runs = cluster, namespace, runs
        self._threads = ThreadPoolExecutor(4)
        self._begun: set[str] = set()

    def see_execution(self, document: dict[str, Any]) -> None:
        name = document["metadata"]["name"]
        if name not in self._begun:
            self._begun.add(name)
            self._threads.submit(self._begin, name)
        elif (document.get("status") or {}).get("phase") == "Completed":
            self.stopwatch.mark(name, "ended")

    def see_run(self, document: dict[str, Any]) -> None:
        name = document["metadata"]["name"]
        self.stopwatch.mark(name, "run")
        if (document.get("status") or {}).get("conditions"):
            self.stopwatch.mark(name, "run ended")
            self._threads.submit(self._finish, name)

    def _begin(self, name: str) -> None:
        path, version = self._read(name)
        self._cluster.merge_patch(path, {"metadata": {"finalizers": [FINALIZER], "resourceVersion": version}})
        self._cluster.create(paths.pipeline_runs(self._runs), plain_run(self._runs, name))

    def _finish(self, name: str) -> None:
        path, version = self._read(name)
        self._cluster.get(paths.pipeline_run(self._runs, name))
        ended = {"metadata": {"resourceVersion": version}, "status": COMPLETED}
        self._cluster.merge_patch(path, ended, subresource="status")

    def _read(self, name: str) -> tuple[str, str]:
        path = paths.execution(Key(self._namespace, name))
        document = self._cluster.get(path)
        assert document is not None
        return path, document["metadata"]["resourceVersion"]


def main() -> int:
    """Measure and print one JSON object; what was made stays, the cluster is a throw-away."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--rate", type=float, default=2)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--namespace", default="default")
    parser.add_argument("--runs", default="kubernaut-workflows")
    given = parser.parse_args()
    cluster, load = Cluster.connect(given.kubeconfig), Cluster.connect(given.kubeconfig)
    straight = Straight(cluster, given.namespace, given.runs)
    watch(cluster, paths.executions(given.namespace), straight.see_execution)
    watch(cluster, paths.pipeline_runs(given.runs), straight.see_run)
    names = [f"straight-{int(time.time())}-{number}" for number in range(given.count)]
    began = time.perf_counter()
    for number, name in enumerate(names):
        time.sleep(max(began + number / given.rate - time.perf_counter(), 0))
        load.create(paths.executions(given.namespace), an_execution(given.namespace, name, "bench/floor:v1"))
        straight.stopwatch.mark(name, "created")
        if number:
            load.merge_patch(paths.pipeline_run(given.runs, names[number - 1]), ENDED, subresource="status")
    time.sleep(1)
    spans = straight.stopwatch.spans
    figures = {
        "rate": given.rate,
        "start_ms": summary(spans("created", "run")),
        "finish_ms": summary(spans("run ended", "ended")),
    }
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
