"""The Kubernetes Events that belong to the facts of a status, for a pass that finds facts nobody may have told.

A pass writes a fact with the status and tells its Event right after; one that dies in between leaves the fact. Whoever
finds it tells it again: the name of an Event is derived from reason and attempt alone, so the API server refuses the
second. Its words may differ from those of the pass that died.
"""

from __future__ import annotations

from collections.abc import Mapping

from models.actions import EmitEvent, EventReason
from models.execution import Execution
from models.policy import Policy
from models.status import ConditionType, Fact, FactType, Status

EVENT_OF: Mapping[FactType, EventReason] = {
    FactType.STARTED: EventReason.RUN_CREATED,
    FactType.COMPLETED: EventReason.COMPLETED,
    FactType.FAILED: EventReason.FAILED,
    FactType.SKIPPED: EventReason.SKIPPED,
    FactType.QUEUED: EventReason.QUEUED,
    FactType.RETRYING: EventReason.RETRY_SCHEDULED,
    FactType.BLOCK_CLEARED: EventReason.BLOCK_CLEARED,
    FactType.CANCELLED: EventReason.CANCELLED,
}
"""The Event of a fact; a hold forced open has none of its own, LockReleased tells it."""


def retold(execution: Execution, facts: tuple[Fact, ...], policy: Policy) -> tuple[EmitEvent, ...]:
    """Return the Events of these facts, in their order."""
    events = []
    for fact in facts:
        reason = EVENT_OF.get(fact.type)
        if reason is not None:
            events.append(EmitEvent(reason, _words(execution.status, fact), fact.attempt))
        if fact.type is FactType.FAILED and execution.status.failures >= policy.max_failures:
            exhausted = f"attempt {fact.attempt} failed, no more are allowed"
            events.append(EmitEvent(EventReason.RETRIES_EXHAUSTED, exhausted, fact.attempt))
    return tuple(events)


def _words(status: Status, fact: Fact) -> str:
    """Say what the status still knows of a fact; a later attempt has overwritten what it knew of an earlier one."""
    match fact.type:
        case FactType.COMPLETED:
            return f"run {status.run_name} succeeded after {status.duration}"
        case FactType.FAILED if status.failure is not None:
            return f"{status.failure.reason.value}: {status.failure.summary}"
        case FactType.SKIPPED if status.skip is not None:
            return status.skip.message
        case FactType.BLOCK_CLEARED if status.clearance is not None:
            return f"cleared by {status.clearance.by}: {status.clearance.reason}"
        case FactType.CANCELLED if status.cancellation is not None:
            return f"cancelled by {status.cancellation.by}: {status.cancellation.reason}"
    for kind in _TOLD_BY.get(fact.type, ()):
        condition = status.condition(kind)
        if condition is not None and fact.attempt == max(status.attempt, 1):
            return f"{condition.message} (attempt {fact.attempt})"
    return f"attempt {fact.attempt}"


_TOLD_BY: Mapping[FactType, tuple[ConditionType, ...]] = {
    FactType.STARTED: (ConditionType.CREATED,),
    FactType.QUEUED: (ConditionType.LOCKED,),
    FactType.RETRYING: (ConditionType.RUNNING, ConditionType.CREATED),
}
