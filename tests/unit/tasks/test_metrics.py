"""Each transition is counted once, whatever the status says besides."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from models.status import ConditionType, Phase, SkipDetails, SkipReason, Status
from tasks.metrics import Metrics
from tests.label_values import CLOSED
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


def test_the_finish_is_measured_from_the_end_of_the_run() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.transition(execution(running()), ended(), NOW, NOW - timedelta(milliseconds=300))
    metrics.transition(execution(ended()), ended(pending_facts=()), NOW, NOW - timedelta(seconds=9))
    metrics.transition(execution(running()), ended(Phase.FAILED), NOW, None)
    assert count(registry, "workflowexecution_finish_latency_seconds_count") == 1
    assert count(registry, "workflowexecution_finish_latency_seconds_sum") == pytest.approx(0.3)


def test_a_clock_behind_the_runs_gives_no_negative_latency() -> None:
    registry = CollectorRegistry()
    Metrics(registry).transition(execution(running()), ended(), NOW, NOW + timedelta(seconds=2))
    assert count(registry, "workflowexecution_finish_latency_seconds_sum") == 0


def test_a_skip_counts_by_its_reason_and_not_as_an_end() -> None:
    registry = CollectorRegistry()
    met = SkipDetails(
        reason=SkipReason.RESOURCE_BUSY, message="busy", skipped_at=NOW, holder="other", workflow_id="w", target="t"
    )
    skipped = Status(phase=Phase.SKIPPED, attempt=1, completed_at=NOW, skip=met, reason="a text of some other kind")
    Metrics(registry).transition(execution(Status()), skipped, NOW)
    assert count(registry, "workflowexecution_skip_total", reason="ResourceBusy") == 1
    assert count(registry, "workflowexecution_total", outcome="Failed") == 0


def test_no_text_that_somebody_wrote_becomes_a_label() -> None:
    registry = CollectorRegistry()
    refused = Status(attempt=1, failures=1, next_allowed=NOW)
    refused = refused.with_condition(ConditionType.CREATED, False, "target payment/deployment/x", "", NOW)
    Metrics(registry).transition(execution(Status()), refused, NOW)
    assert count(registry, "workflowexecution_retries_total", reason="Unknown") == 1


def test_every_series_is_there_before_its_first_event() -> None:
    registry = CollectorRegistry()
    Metrics(registry).buffered(0)
    assert registry.get_sample_value("workflowexecution_total", {"outcome": "Failed"}) == 0
    assert registry.get_sample_value("workflowexecution_skip_total", {"reason": "RecentlyRemediated"}) == 0
    service = {"service": "workflowexecution-controller"}
    assert registry.get_sample_value("audit_events_buffered_total", service) == 0


def test_who_had_to_wait_says_nothing_about_how_soon_a_start_is() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.transition(execution(Status(attempt=1, reason="TargetResourceBusy")), running(), NOW)
    assert count(registry, "workflowexecution_pipelinerun_creation_total") == 1
    assert count(registry, "workflowexecution_start_latency_seconds_count") == 0


def test_each_label_has_a_closed_set_of_values() -> None:
    registry = CollectorRegistry()
    Metrics(registry)
    for family in registry.collect():
        for sample in family.samples:
            for label, value in sample.labels.items():
                assert label in ("reason", "le") or value in CLOSED[label], (sample.name, label, value)
