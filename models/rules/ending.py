"""Ends: the terminal transitions, and the repair of one that somebody else wrote incompletely."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from models.actions import Action, EmitEvent, EventReason, WakeAt, WakeLine
from models.duration import format_duration
from models.execution import Execution
from models.failure import Refusal
from models.hold import Mine
from models.instants import ceil_second
from models.observed import Observed
from models.policy import Policy
from models.rules.cooldown import blocks, rest_until
from models.rules.writing import run_status, touched, write
from models.run import Run
from models.status import ConditionType, FactType, FailureDetails, FailureReason, Phase, Status
from models.target import run_name

LONGEST_MESSAGE = 4096
"""Characters of a text that others may have made as long as an object may be: the status has to fit beside it."""


def complete(execution: Execution, observed: Observed, run: Run, now: datetime, policy: Policy) -> tuple[Action, ...]:
    """Running→Completed."""
    new = ended(execution, Phase.COMPLETED, _end_of(run, now))
    new = replace(new, reason="", run_status=run_status(run), failures=0, next_allowed=None)
    new = new.with_condition(ConditionType.COMPLETE, True, "PipelineSucceeded", run.message or "the run succeeded", now)
    new = new.with_fact(FactType.COMPLETED, new.attempt, now)
    message = f"run {run.name} succeeded after {new.duration}"
    return _end(execution, observed, new, now, policy, EmitEvent(EventReason.COMPLETED, message, new.attempt))


def fail(
    execution: Execution,
    observed: Observed,
    details: FailureDetails,
    now: datetime,
    policy: Policy,
    *,
    exhausted: bool = False,
) -> tuple[Action, ...]:
    """Any phase that has not ended → Failed."""
    status, run = execution.status, observed.our_run(execution) if execution.status.run_name else None
    # Between two attempts the run that stands there ended long ago.
    new = ended(execution, Phase.FAILED, _end_of(None if execution.attempt_failed else run, now))
    # Without a run the attempt under way is lost, not one that failed before it: there is nothing to rest from.
    attempt = execution.next_attempt if exhausted or not status.run_name else max(status.attempt, 1)
    new = replace(
        new,
        reason=details.reason.value,
        failure=details,
        attempt=attempt,
        run_status=run_status(run) if run is not None else status.run_status,
        failures=attempt if exhausted else status.failures,
        next_allowed=None,
        fence=observed.hold.fence if exhausted and isinstance(observed.hold, Mine) else status.fence,
    )
    if observed.refusal is not None and (exhausted or not status.run_name):
        new = not_created(execution, new, observed.refusal, details.message, now, policy)
    elif exhausted:
        new = new.with_condition(ConditionType.RUNNING, False, "PipelineFailedToStart", details.message, now)
    if status.run_name:
        new = new.with_condition(ConditionType.COMPLETE, False, _complete_reason(details), details.message, now)
    elif observed.refusal is None:
        new = new.with_condition(ConditionType.CREATED, False, "PipelineCreationFailed", details.message, now)
    new = new.with_fact(FactType.FAILED, attempt, now)
    events = [EmitEvent(EventReason.FAILED, f"{details.reason.value}: {details.summary}", attempt)]
    if exhausted:
        tried = f"attempt {attempt} failed, no more are allowed: {details.message}"
        events.append(EmitEvent(EventReason.RETRIES_EXHAUSTED, tried, attempt))
    return _end(execution, observed, new, now, policy, *events)


def repair_completion(execution: Execution, observed: Observed, now: datetime, policy: Policy) -> tuple[Action, ...]:
    """Give a terminal execution whose phase somebody forced the completionTime that its cooldown counts from.

    A run of ours that no status tells of was created while the phase was forced: it opens a cooldown as any other.
    """
    ours = observed.our_run(execution)
    new = ended(execution, execution.status.phase, _end_of(ours, now))
    if ours is not None:
        new = replace(new, run_name=ours.name)
    return _end(execution, observed, new, now, policy)


def not_created(
    execution: Execution, status: Status, refused: Refusal, message: str, now: datetime, policy: Policy
) -> Status:
    """Say in the condition which run was refused, and why."""
    named = f"{message} ({execution.spec.engine.kind} {run_name(execution.spec.target)} in {policy.namespace})"
    return status.with_condition(ConditionType.CREATED, False, refused.condition_reason, named, now)


def plain_details(reason: FailureReason, message: str, now: datetime) -> FailureDetails:
    """Return failure details that consist of one sentence, for an end without a failed task."""
    message = message[:LONGEST_MESSAGE]
    return FailureDetails(reason=reason, message=message, failed_at=now, summary=message, started=False)


def _end_of(run: Run | None, now: datetime) -> datetime:
    """Return when a run ended, rounded up like every instant of ours.

    Tekton cuts its completionTime to whole seconds, so it may have been up to a second later than that.
    """
    if run is None or run.ended_at is None:
        return now
    return min(ceil_second(now), run.ended_at + timedelta(seconds=1))


def ended(execution: Execution, phase: Phase, at: datetime) -> Status:
    """Return the status with its end in it; it waits for nothing any more."""
    status = touched(execution)
    completed = ceil_second(max(at, status.started_at or at))
    duration = format_duration(completed - status.started_at) if status.started_at else ""
    new = replace(status, phase=phase, completed_at=completed, duration=duration, queue=None)
    return new.without_condition(ConditionType.LOCKED)


def _end(
    execution: Execution, observed: Observed, new: Status, now: datetime, policy: Policy, *events: Action
) -> tuple[Action, ...]:
    rest = rest_until(new, policy)
    line = WakeLine(everyone=blocks(new, policy))
    return (*write(execution, observed, new, now), *events, line, WakeAt(now if rest is None else rest))


def _complete_reason(details: FailureDetails) -> str:
    match details.reason:
        case FailureReason.OOM_KILLED | FailureReason.DEADLINE_EXCEEDED | FailureReason.TASK_FAILED:
            return details.reason.value
        case _:
            return "PipelineFailed"
