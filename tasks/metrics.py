"""What workers count, each transition once: by the process whose status write was accepted (CONTRACT 5).

Metrics of several workers are summed by whoever reads them; no label grows with use. What is true of the whole cluster
at an instant (waiting, running, held) the leading watcher says: watcher/gauges.py. docs/metrics.md lists all.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from models.execution import Execution
from models.status import ConditionType, Phase, SkipReason, Status
from tasks.adapters.datastorage import CAUSES

_DURATIONS = (5, 10, 20, 40, 80, 160, 320)
_LATENCIES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_PASS_TIMES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5, 25)
_REFUSALS = frozenset(
    {
        *("PipelineCreationFailed", "QuotaExceeded", "RBACDenied", "ImagePullFailed"),
        "PipelineFailedToStart",
    }
)
SERVICE = "workflowexecution-controller"


class Metrics:
    """The port `Observer`, on an injected registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        name = "workflowexecution"
        self.ended = Counter(f"{name}_total", "Executions that ended.", ["outcome"], registry=registry)
        self.duration = Histogram(
            f"{name}_duration_seconds",
            "From start to end of an execution.",
            ["outcome"],
            buckets=_DURATIONS,
            registry=registry,
        )
        self.runs_created = Counter(
            f"{name}_pipelinerun_creation_total", "Runs created, of every engine.", registry=registry
        )
        self.skipped = Counter(f"{name}_skip_total", "Executions skipped.", ["reason"], registry=registry)
        self.retries = Counter(
            f"{name}_retries_total",
            "Attempts that failed before any task ran, to be tried again.",
            ["reason"],
            registry=registry,
        )
        self.start_latency = Histogram(
            f"{name}_start_latency_seconds",
            "From creation of an execution (whole seconds at the API server) to Running, where nothing was waited for.",
            buckets=_LATENCIES,
            registry=registry,
        )
        self.finish_latency = Histogram(
            f"{name}_finish_latency_seconds",
            "From the end of a run (whole seconds at the API server, so up to 1 s too long) to the terminal phase.",
            buckets=_LATENCIES,
            registry=registry,
        )
        self.passes = Counter(f"{name}_reconcile_total", "Passes by how they went.", ["result"], registry=registry)
        self.pass_time = Histogram(
            f"{name}_reconcile_duration_seconds", "Time of a pass.", buckets=_PASS_TIMES, registry=registry
        )
        self.repaired = Counter(
            f"{name}_sweep_repaired_total", "What the sweep found lost and set right.", ["kind"], registry=registry
        )
        self.ticks = Gauge(
            f"{name}_tick_last_timestamp_seconds", "When this process finished a tick.", ["tick"], registry=registry
        )
        audit = ["service"]
        self.audit_buffered = Counter(
            "audit_events_buffered_total", "Events put into the outbox.", audit, registry=registry
        )
        self.audit_written = Counter(
            "audit_events_written_total", "Events DataStorage acknowledged.", audit, registry=registry
        )
        self.audit_dropped = Counter(
            "audit_events_dropped_total", "Events set aside in quarantine.", audit, registry=registry
        )
        self.audit_let_go = Counter(
            "audit_events_unconfirmed_total",
            "Events of deleted executions, waited for no more.",
            audit,
            registry=registry,
        )
        self.audit_failed = Counter(
            "audit_batches_failed_total", "Batches that were not stored.", audit, registry=registry
        )
        self.audit_put_off = Counter(
            "audit_put_off_total",
            "Times that events were not stored and nothing was said against them, by cause.",
            [*audit, "cause"],
            registry=registry,
        )
        self.audit_write_time = Histogram(
            "audit_write_duration_seconds", "Time of one batch request.", audit, registry=registry
        )
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """Show every series before its first event, so that a rate does not miss it."""
        for phase in (Phase.COMPLETED, Phase.FAILED):
            self.ended.labels(phase.value)
            self.duration.labels(phase.value)
        for reason in SkipReason:
            self.skipped.labels(reason.value)
        for refusal in sorted(_REFUSALS):
            self.retries.labels(refusal)
        for counted in (
            self.audit_buffered,
            self.audit_written,
            self.audit_dropped,
            self.audit_let_go,
            self.audit_failed,
        ):
            counted.labels(SERVICE)
        for cause in CAUSES:
            self.audit_put_off.labels(SERVICE, cause)
        self.audit_write_time.labels(SERVICE)

    def transition(self, before: Execution, after: Status, now: datetime, run_ended: datetime | None = None) -> None:
        """Count what a written status changed; `run_ended` is when our run says it ended."""
        old = before.status
        if after.failures > old.failures and not after.phase.terminal:
            self.retries.labels(_refused_by(after)).inc()
        if _attempt_started(old, after):
            self.runs_created.inc()
            if after.attempt == 1 and old.attempt == 0:
                self.start_latency.observe(max((now - before.created_at).total_seconds(), 0))
        if after.phase.terminal and not old.phase.terminal:
            self._count_end(after)
            if run_ended is not None:
                self.finish_latency.observe(max(now - run_ended, timedelta()).total_seconds())

    def ticked(self, tick: str, now: datetime) -> None:
        """Note that a tick's work was done: the youngest of all workers is the age of beat and of the way from it."""
        self.ticks.labels(tick).set(now.timestamp())

    def buffered(self, events: int) -> None:
        """Count audit events that were new to the outbox."""
        self.audit_buffered.labels(SERVICE).inc(events)

    def let_go(self, events: int) -> None:
        """Count audit events that a deleted execution does not wait for any more; they may still be stored."""
        self.audit_let_go.labels(SERVICE).inc(events)

    def _count_end(self, after: Status) -> None:
        if after.phase is Phase.SKIPPED:
            self.skipped.labels(after.skip.reason.value if after.skip is not None else "Unknown").inc()
            return
        self.ended.labels(after.phase.value).inc()
        if after.started_at is not None and after.completed_at is not None:
            self.duration.labels(after.phase.value).observe((after.completed_at - after.started_at).total_seconds())


def _refused_by(after: Status) -> str:
    """Return the reason of the condition that says why an attempt failed: of a closed set, unlike messages."""
    for kind in (ConditionType.CREATED, ConditionType.RUNNING):
        condition = after.condition(kind)
        if condition is not None and condition.status is False and condition.reason in _REFUSALS:
            return condition.reason
    return "Unknown"


def _attempt_started(old: Status, after: Status) -> bool:
    """Say whether this write recorded a run that exists: Pending→Running, or the next attempt of a Running one."""
    if after.phase is not Phase.RUNNING or after.failures >= after.attempt:
        return False
    return old.phase is Phase.PENDING or after.attempt > old.attempt
