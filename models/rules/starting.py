"""Starts: an attempt's run exists, or could not be made and is tried again later."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from models.actions import Action, EmitEvent, EventReason, WakeAt, WakeLine
from models.execution import Execution
from models.failure import Refusal
from models.hold import Mine
from models.instants import ceil_second, format_instant
from models.observed import Observed
from models.policy import Policy, backoff
from models.rules.ending import fail, not_created
from models.rules.writing import run_status, touched, write
from models.run import Run
from models.status import ConditionType, FactType, FailureDetails, Phase, WaitReason

POD_LOOK, POD_LOOK_MAX = timedelta(seconds=5), timedelta(seconds=60)


def start(execution: Execution, observed: Observed, run: Run, mine: Mine, now: datetime) -> tuple[Action, ...]:
    """Pending→Running, or the next attempt of a Running one: the run exists, created now or by a pass that died."""
    attempt = execution.next_attempt
    message = f"{run.kind} {run.name} created in namespace {run.namespace}"
    new = replace(
        touched(execution),
        phase=Phase.RUNNING,
        reason="",
        attempt=attempt,
        started_at=execution.status.started_at or now,
        run_name=run.name,
        run_status=run_status(run),
        next_allowed=None,
        queue=None,
        fence=mine.fence,
    )
    new = new.without_condition(ConditionType.LOCKED)
    new = new.with_condition(ConditionType.CREATED, True, "PipelineCreated", message, now)
    new = new.with_condition(ConditionType.RUNNING, True, "PipelineStarted", f"attempt {attempt} handed over", now)
    new = new.with_fact(FactType.STARTED, attempt, now)
    # An adopted run may have ended before this pass: the event of its end is spent, nobody will tell us again.
    again = (WakeAt(now),) if run.succeeded is not None else look_for_pod(run, now)
    return (
        *write(execution, observed, new, now),
        EmitEvent(EventReason.RUN_CREATED, f"{message} (attempt {attempt})", attempt),
        WakeLine(),
        *again,
    )


def look_for_pod(run: Run, now: datetime) -> tuple[WakeAt, ...]:
    """Look again at a Job without a ready container, ever more rarely: the Job tells nothing of its pod's trouble."""
    if not run.waits_for_pod:
        return ()
    return (WakeAt(now + min(max(POD_LOOK, (now - run.created_at) / 4), POD_LOOK_MAX)),)


def creation_refused(
    execution: Execution, observed: Observed, refusal: Refusal, now: datetime, policy: Policy, jitter: float
) -> tuple[Action, ...]:
    """Answer the API server's refusal to create a run: final only when it calls our own manifest Invalid."""
    details = FailureDetails(
        reason=refusal.reason,
        message=refusal.message,
        failed_at=now,
        summary=f"The API server refused to create the run: {refusal.message}"[:1024],
        started=False,
    )
    if refusal.permanent:
        return fail(execution, observed, details, now, policy)
    return retry_later(execution, observed, details, now, policy, jitter)


def retry_later(
    execution: Execution,
    observed: Observed,
    details: FailureDetails,
    now: datetime,
    policy: Policy,
    jitter: float,
) -> tuple[Action, ...]:
    """Record that an attempt failed before any task ran, and when the next is due; the hold is kept."""
    attempt = execution.next_attempt
    if attempt >= policy.max_failures:
        return fail(execution, observed, details, now, policy, exhausted=True)
    due = ceil_second(now + backoff(attempt, policy, jitter))
    message = f"attempt {attempt} failed before any task ran, next not before {format_instant(due)}: {details.message}"
    new = replace(
        touched(execution),
        reason=WaitReason.BACKING_OFF.value,
        attempt=attempt,
        failures=attempt,
        next_allowed=due,
        queue=None,
        fence=observed.hold.fence if isinstance(observed.hold, Mine) else execution.status.fence,
    )
    new = new.without_condition(ConditionType.LOCKED)
    run = observed.our_run(execution)
    if observed.refusal is None and run is not None:
        new = replace(new, run_status=run_status(run))
    if observed.refusal is not None:
        new = not_created(execution, new, observed.refusal, message, now, policy)
    else:
        new = new.with_condition(ConditionType.RUNNING, False, "PipelineFailedToStart", message, now)
    new = new.with_fact(FactType.RETRYING, attempt, now)
    return (
        *write(execution, observed, new, now),
        EmitEvent(EventReason.RETRY_SCHEDULED, message, attempt),
        WakeAt(due),
    )
