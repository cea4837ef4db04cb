"""An execution whose passes fail whatever is done: growing waits, one Warning, and nobody else is kept waiting."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from models.keys import Key
from models.status import Phase
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from tasks.adapters.executions import ClusterExecutions
from tasks.reconciling import TRY_AGAIN, run_key
from tasks.upkeep import resync, sweep
from tests.integration.passes.conftest import NAMESPACE, World


class Spoilt:
    """The API server, but for one object, which comes in a shape that nobody expects."""

    def __init__(self, cluster: Cluster, key: Key) -> None:
        self._cluster, self._key = cluster, key

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)

    def get(self, path: str) -> Any:
        return self._spoil(self._cluster.get(path)) if path == paths.execution(self._key) else self._cluster.get(path)

    def list(self, path: str, **how: Any) -> Any:
        return map(self._spoil, self._cluster.list(path, **how))

    def _spoil(self, document: Any) -> Any:
        if document and document["metadata"]["name"] == self._key.name:
            return {**document, "spec": [3], "status": "what?"}
        return document


@pytest.fixture
def poison(world: World) -> Key:
    return world.declare()


@pytest.fixture
def spoilt(world: World, poison: Key) -> World:
    executions = ClusterExecutions(Spoilt(world.cluster, poison))  # type: ignore[arg-type]
    return World(replace(world.parts, executions=executions), world.cluster)


def test_object_nobody_can_read_costs_waits_that_double_and_one_warning(
    spoilt: World, poison: Key, redis_client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(7):
        spoilt.parts.queue.notify([poison])
        before = spoilt.parts.queue.now().timestamp()
        run_key(poison, spoilt.parts)
        due, after = redis_client.zscore("wfe:due", str(poison)) / 1000, spoilt.parts.queue.now().timestamp()
        wait = TRY_AGAIN.total_seconds() * 2**number
        # The pass ended in between; the wait is drawn a tenth shorter or longer, and counted in milliseconds.
        assert before + 0.9 * wait - 0.002 < due
        assert due - after < 1.1 * wait + 0.002
    told = [event for event in events(spoilt.cluster, poison) if event["reason"] == "WorkflowFailed"]
    assert [(event["type"], event["count"]) for event in told] == [("Warning", 1)]
    assert "tried again with growing delay" in told[0]["message"]
    assert len([record for record in caplog.records if record.exc_info and "pass failed" in record.message]) == 7


def test_sweep_leaves_the_backoff_of_the_first_in_line_alone(spoilt: World, poison: Key, redis_client: Any) -> None:
    parts = spoilt.parts
    for _ in range(5):
        parts.queue.notify([poison])
        run_key(poison, parts)
    due = redis_client.zscore("wfe:due", str(poison))
    heads: Any = _Heads(parts.holds, poison)
    sweep(replace(parts, holds=heads))
    assert redis_client.zscore("wfe:due", str(poison)) == due


def test_object_nobody_can_read_keeps_no_other_from_being_restored(
    spoilt: World, poison: Key, redis_client: Any
) -> None:
    other = spoilt.declare()
    assert spoilt.make_pass(other).status.phase is Phase.RUNNING
    redis_client.flushall()
    resync(spoilt.parts)
    assert spoilt.parts.holds.gate_open()
    assert [hold.key for hold in spoilt.parts.holds.all()] == [other]


class _Heads:
    """Holds of which one key waits first for a target that is free."""

    def __init__(self, holds: Any, key: Key) -> None:
        self._holds, self._key = holds, key

    def __getattr__(self, name: str) -> Any:
        return getattr(self._holds, name)

    def waiting_heads(self) -> list[Key]:
        return [self._key]


def events(cluster: Cluster, key: Key) -> list[dict[str, Any]]:
    return list(cluster.list(paths.kubernetes_events(NAMESPACE), field_selector=f"involvedObject.name={key.name}"))
