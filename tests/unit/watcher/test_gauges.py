"""The gauges of the leading watcher: what the watch knows, what Redis holds, and nothing while another leads."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from models.errors import Transient
from watcher.gauges import ClusterGauges, Stored
from watcher.seen import NEW, OTHER, WAITS, SeenExecution, see_execution

AUDIT = {"service": "workflowexecution-controller"}


def seen(phase: str | None, reason: str = "") -> SeenExecution:
    status: dict[str, Any] = {"reason": reason} if reason else {}
    return see_execution({"metadata": {"name": "x", "namespace": "n"}, "status": {**status, "phase": phase}})


def gauges(
    *executions: SeenExecution, leading: bool = True, listed: bool = True, away: bool = False
) -> CollectorRegistry:
    def stored() -> Stored:
        if away:
            raise Transient("Redis is away")
        return Stored(holds=4, buffered=7)

    registry = CollectorRegistry()
    registry.register(ClusterGauges(lambda: leading, lambda: list(executions) if listed else None, stored))
    return registry


def test_each_execution_counts_by_its_phase_and_what_it_waits_for() -> None:
    registry = gauges(
        seen(None),
        seen("Pending"),
        seen("Pending", "TargetResourceBusy"),
        seen("Pending", "TargetResourceBusy"),
        seen("Pending", "Frozen"),
        seen("Running"),
        seen("Running", "BackingOff"),
        seen("Completed"),
        seen("Failed", "TaskFailed"),
    )
    waiting = {wait: registry.get_sample_value("workflowexecution_pending", {"reason": wait}) for wait in WAITS}
    assert {wait: n for wait, n in waiting.items() if n} == {NEW: 2, "TargetResourceBusy": 2, "Frozen": 1}
    assert registry.get_sample_value("workflowexecution_running") == 2
    assert registry.get_sample_value("workflowexecution_locks_held") == 4
    assert registry.get_sample_value("audit_buffer_size", AUDIT) == 7


def test_a_text_that_somebody_wrote_into_the_status_is_no_label() -> None:
    registry = gauges(seen("Pending", "payment/deployment/api"))
    assert registry.get_sample_value("workflowexecution_pending", {"reason": OTHER}) == 1
    assert b"payment" not in generate_latest(registry)


def test_a_standby_has_no_sample_rather_than_a_stale_one() -> None:
    assert generate_latest(gauges(seen("Running"), leading=False)) == b""


def test_before_everything_is_listed_nothing_is_said_of_executions() -> None:
    registry = gauges(listed=False)
    assert registry.get_sample_value("workflowexecution_running") is None
    assert registry.get_sample_value("workflowexecution_locks_held") == 4


def test_redis_away_leaves_its_gauges_out_and_keeps_the_others() -> None:
    registry = gauges(seen("Running"), away=True)
    assert registry.get_sample_value("workflowexecution_running") == 1
    assert registry.get_sample_value("workflowexecution_locks_held") is None
    assert registry.get_sample_value("audit_buffer_size", AUDIT) is None
