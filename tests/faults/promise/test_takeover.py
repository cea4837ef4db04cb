"""The passes of a worker that was killed are begun by another within ten seconds, and nothing is done twice."""

from __future__ import annotations

import time
from typing import Any

import pytest
import redis

from cli.local import Stack
from tasks.adapters.cluster import Cluster
from tests.faults.promise.watching import RunWatch, declare, phases
from tests.waiting import until

IMAGE = "scripted/outcome-success-100ms:v1"


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_passes_of_a_killed_worker_are_taken_over_within_ten_seconds(stack: Stack) -> None:
    cluster = Cluster.connect(stack.kubeconfig)
    names: list[str] = []
    waited: list[float] = []
    with redis.Redis.from_url(stack.redis_url) as client, RunWatch(cluster, "kubernaut-workflows") as runs:
        for turn in range(6):
            batch = [f"over-{int(time.time())}-{turn}-{number}" for number in range(20)]
            for name in batch:
                declare(cluster, "default", name, f"over/deployment/{name}", IMAGE)
            names += batch
            until(lambda: client.hlen("wfe:claims") >= 2, 20, "passes are running", every=0.001)
            stack.kill9("worker-1")
            killed = time.monotonic()
            _until_taken_over(client)
            waited.append(time.monotonic() - killed)
            _until_completed(cluster, names)
            if max(waited) > 1:
                break
    assert max(waited) > 1, "no pass was hit"
    assert runs.overlaps == []
    assert set(runs.created.values()) == {1}
    print("taken over after", [round(seconds, 1) for seconds in waited])


def _until_completed(cluster: Cluster, names: list[str]) -> None:
    until(lambda: phases(cluster, "default", names)["Completed"] == len(names), 60, "all end", every=0.3)


def _until_taken_over(client: redis.Redis) -> None:
    left = _claims(client)
    until(lambda: not left & _claims(client), 10, "all were begun anew or had ended", every=0.01)


def _claims(client: redis.Redis) -> set[tuple[Any, Any]]:
    """Return the passes that have begun and not ended, each with the proof of its claim."""
    claims: Any = client.hgetall("wfe:claims")
    return set(claims.items())
