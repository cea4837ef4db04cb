"""The target is another's: wait for it, be skipped, or fail, as the concurrency policy says."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from models.actions import Action, EmitEvent, EventReason, LeaveLine, TakeTarget, WakeAt
from models.duration import format_duration
from models.execution import ConcurrencyPolicy, Execution
from models.hold import Busy
from models.instants import ceil_second, format_instant
from models.observed import Observed
from models.policy import Policy
from models.rules.cooldown import blocks, exhausted, rest_until
from models.rules.ending import LONGEST_MESSAGE, ended, fail, plain_details
from models.rules.waiting import wait_in_line
from models.rules.writing import keep, write
from models.status import FactType, FailureReason, Phase, SkipDetails, SkipReason
from models.target import run_name

LOOK_AGAIN = timedelta(milliseconds=500)


def meet_holder(
    execution: Execution, observed: Observed, busy: Busy, now: datetime, policy: Policy
) -> tuple[Action, ...]:
    """Decide for an execution whose target another one holds or is about to take.

    Skip and Fail do not join the line while they can be answered; a holder that keeps nothing any more is not waited
    for longer than its next pass takes, so everybody waits for that one.
    """
    stance = execution.spec.concurrency or policy.concurrency
    if stance is not ConcurrencyPolicy.WAIT and observed.holder is None:
        # It changed hands while it was looked at: nobody can be named yet.
        return keep(execution, observed, now, WakeAt(now + LOOK_AGAIN))
    obstacle = _obstacle(observed.holder, now, policy) if observed.holder is not None else None
    if stance is ConcurrencyPolicy.SKIP and observed.holder is not None and obstacle is not None:
        return _skip(execution, observed, _details(execution, observed.holder, busy, obstacle, now, policy), now, busy)
    if stance is ConcurrencyPolicy.FAIL and obstacle is SkipReason.RESOURCE_BUSY:
        return _lose(execution, observed, busy, now, policy)
    if busy.position == 0:
        return (TakeTarget(),)
    return wait_in_line(execution, observed, busy, now, policy)


def _obstacle(holder: Execution, now: datetime, policy: Policy) -> SkipReason | None:
    """Return why a holder's target cannot be had now, None when it is about to be freed."""
    status = holder.status
    if not status.phase.terminal:
        return SkipReason.RESOURCE_BUSY
    if holder.deleted_at is not None:
        return None
    if blocks(status, policy):
        return SkipReason.PREVIOUS_FAILED
    until = rest_until(status, policy)
    if until is None or now >= until:
        return None
    return SkipReason.EXHAUSTED_RETRIES if exhausted(status, policy) else SkipReason.RECENTLY_REMEDIATED


def _details(
    execution: Execution, holder: Execution, busy: Busy, reason: SkipReason, now: datetime, policy: Policy
) -> SkipDetails:
    status, target = holder.status, execution.spec.target[:LONGEST_MESSAGE]
    since = ceil_second(status.started_at or busy.since)
    details = SkipDetails(
        reason=reason,
        message=f"target {target} is held by {holder.key} since {format_instant(since)}",
        skipped_at=ceil_second(now),
        holder=holder.key.name,
        workflow_id=holder.spec.workflow_id[:LONGEST_MESSAGE],
        target=target,
        started_at=since,
    )
    if reason is SkipReason.RESOURCE_BUSY:
        return details
    ended_at, until = status.completed_at or now, rest_until(status, policy)
    left = format_duration(ceil_second(until) - ceil_second(now)) if until is not None and now < until else ""
    return replace(
        details,
        message=_after_an_end(holder, reason, until),
        started_at=None,
        ended_at=ceil_second(ended_at),
        outcome=status.phase.value,
        cooldown_remaining=left,
    )


def _after_an_end(holder: Execution, reason: SkipReason, until: datetime | None) -> str:
    if reason is SkipReason.PREVIOUS_FAILED:
        return f"{holder.key} failed after a task had started, and nobody has cleared its target yet"
    rests = f"the target rests until {format_instant(until)}" if until is not None else "the target rests"
    if reason is SkipReason.EXHAUSTED_RETRIES:
        return f"{holder.key} used up its {holder.status.failures} attempts, {rests}"
    return f"{holder.key} has ended ({holder.status.phase.value}), {rests}"


def _skip(
    execution: Execution, observed: Observed, details: SkipDetails, now: datetime, busy: Busy
) -> tuple[Action, ...]:
    new = ended(execution, Phase.SKIPPED, now)
    new = replace(new, reason=details.reason.value, skip=details, attempt=execution.next_attempt, next_allowed=None)
    new = new.with_fact(FactType.SKIPPED, new.attempt, now)
    told = EmitEvent(EventReason.SKIPPED, f"{details.reason.value}: {details.message}", new.attempt)
    left: tuple[Action, ...] = (LeaveLine(),) if busy.position > 0 else ()
    return (*write(execution, observed, new, now), told, *left)


def _lose(execution: Execution, observed: Observed, busy: Busy, now: datetime, policy: Policy) -> tuple[Action, ...]:
    target = execution.spec.target
    message = (
        f"Race condition: PipelineRun {run_name(target)} already exists in namespace {policy.namespace}: "
        f"target {target} is held by {busy.holder} since {format_instant(busy.since)}"
    )
    return fail(execution, observed, plain_details(FailureReason.UNKNOWN, message, now), now, policy)
