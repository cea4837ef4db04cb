"""Each transition is counted once, whatever the status says besides."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from prometheus_client import CollectorRegistry

from models.status import ConditionType, Phase, Status
from tasks.metrics import Metrics
from tests.unit.rules.builders import NOW, ended, execution, running


def count(registry: CollectorRegistry, name: str, **labels: str) -> float:
    return registry.get_sample_value(name, labels) or 0.0


def test_a_start_counts_one_run() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.transition(execution(Status()), running(), NOW)
    metrics.transition(execution(running()), replace(running(), reason="x"), NOW)
    assert count(registry, "workflowexecution_pipelinerun_creation_total") == 1
    assert count(registry, "workflowexecution_start_latency_seconds_count") == 1


def test_a_second_attempt_counts_another_run() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    refused = running(failures=1, next_allowed=NOW, reason="BackingOff")
    refused = refused.with_condition(ConditionType.RUNNING, False, "PipelineFailedToStart", "no bundle", NOW)
    metrics.transition(execution(running()), refused, NOW)
    assert count(registry, "workflowexecution_retries_total", reason="PipelineFailedToStart") == 1
    metrics.transition(execution(refused), replace(refused, attempt=2, reason=""), NOW)
    assert count(registry, "workflowexecution_pipelinerun_creation_total") == 1


def test_a_retry_counts_by_reason() -> None:
    registry = CollectorRegistry()
    refused = Status(attempt=1, failures=1, next_allowed=NOW, reason="BackingOff")
    refused = refused.with_condition(ConditionType.CREATED, False, "QuotaExceeded", "full", NOW)
    Metrics(registry).transition(execution(Status()), refused, NOW)
    assert count(registry, "workflowexecution_retries_total", reason="QuotaExceeded") == 1


def test_an_end_counts_once_with_its_duration() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    over = replace(ended(), started_at=NOW - timedelta(seconds=34), completed_at=NOW)
    metrics.transition(execution(running()), over, NOW)
    metrics.transition(execution(over), replace(over, pending_facts=()), NOW)
    assert count(registry, "workflowexecution_total", outcome="Completed") == 1
    assert count(registry, "workflowexecution_duration_seconds_sum", outcome="Completed") == 34


def test_a_failure_that_never_started_counts_without_a_duration() -> None:
    registry = CollectorRegistry()
    Metrics(registry).transition(execution(Status()), Status(phase=Phase.FAILED, attempt=1, completed_at=NOW), NOW)
    assert count(registry, "workflowexecution_total", outcome="Failed") == 1
    assert count(registry, "workflowexecution_duration_seconds_count", outcome="Failed") == 0
