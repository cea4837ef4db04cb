"""What a test of the promise sees: every run that ever lived, and every execution's end."""

from __future__ import annotations

import itertools
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import httpx
import orjson
import redis

from cli.local import Stack
from models.errors import Transient
from models.keys import Key
from models.names import API_VERSION, KIND
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from tests.waiting import until

ENDED = ("Completed", "Failed", "Skipped")


class RunWatch:
    """Follows all runs of a namespace on a watch and notes every moment in which a target had two of them."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._path = paths.pipeline_runs(namespace)
        self._alive: dict[str, set[str]] = defaultdict(set)
        self._version = cluster.list_page(self._path, limit=1).resource_version
        self.overlaps: list[str] = []
        self.created: Counter[str] = Counter()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> RunWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()

    def _follow(self) -> None:
        while not self._stopping.is_set():
            params = {"watch": "1", "resourceVersion": self._version, "timeoutSeconds": "600"}
            try:
                with self._cluster.stream(self._path, params, read_timeout=timedelta(seconds=5)) as lines:
                    for line in lines:
                        self._see(orjson.loads(line))
            except Transient:
                continue

    def _see(self, change: dict[str, Any]) -> None:
        document = change["object"]
        metadata = document["metadata"]
        self._version = metadata["resourceVersion"]
        target, uid = metadata["annotations"]["kubernaut.ai/target-resource"], metadata["uid"]
        if change["type"] == "DELETED":
            self._alive[target].discard(uid)
            return
        if change["type"] == "ADDED":
            self.created[metadata["annotations"]["kubernaut.ai/execution-uid"]] += 1
        self._alive[target].add(uid)
        if len(self._alive[target]) > 1:
            self.overlaps.append(f"{target}: {sorted(self._alive[target])}")


def declare(cluster: Cluster, namespace: str, name: str, target: str, image: str) -> None:
    """Create an execution as a user would."""
    body = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "remediationRequestRef": {"name": name},
            "workflowRef": {"workflowId": "promise", "version": "1", "containerImage": image},
            "targetResource": target,
        },
    }
    cluster.create(paths.executions(namespace), body)


def phases(cluster: Cluster, namespace: str, names: Iterable[str]) -> Counter[str]:
    """Count executions by phase; one that is gone counts as `absent`."""
    found = {d["metadata"]["name"]: (d.get("status") or {}) for d in cluster.list(paths.executions(namespace))}
    return Counter(found[name].get("phase", "Pending") if name in found else "absent" for name in names)


def caught(client: redis.Redis, cluster: Cluster, names: list[str], passes: int) -> bool:
    """Return as soon as so many passes run at once; False when all of these were through before that was seen."""
    looks = itertools.count(1)

    def look() -> str:
        if client.hlen("wfe:claims") >= passes:
            return "running"
        over = next(looks) % 500 == 0 and phases(cluster, "default", names)["Completed"] == len(names)
        return "over" if over else ""

    return until(look, 120, "passes are running", every=0.001) == "running"


def repaired(stack: Stack) -> float:
    """Return how many messages the sweeps of all workers had to send, because one was lost or a claim had expired."""
    total = 0.0
    for worker in stack.workers:
        for line in httpx.get(stack.metrics_urls[worker], timeout=60).text.splitlines():
            if line.startswith('workflowexecution_sweep_repaired_total{kind="message"}'):
                total += float(line.rpartition(" ")[2])
    return total


def all_audited(cluster: Cluster, namespace: str, names: Iterable[str]) -> bool:
    """Say whether every status says that DataStorage acknowledged every fact."""
    for name in names:
        document = cluster.get(paths.execution(Key(namespace, name)))
        conditions = ((document or {}).get("status") or {}).get("conditions") or ()
        if not any(c["type"] == "AuditRecorded" and c["status"] == "True" for c in conditions):
            return False
    return True


def stored_events(stack: Stack, correlation_id: str) -> list[tuple[str, int]]:
    """Return (type, attempt) of every stored event of one execution, oldest first."""
    answer = httpx.get(
        f"{stack.datastorage_url}/api/v1/audit/events",
        params={"correlation_id": correlation_id, "limit": 1000},
        headers=stack.reader,
        timeout=60,
    )
    answer.raise_for_status()
    return [(event["event_type"], event["event_data"]["attempt"]) for event in reversed(answer.json()["data"])]
