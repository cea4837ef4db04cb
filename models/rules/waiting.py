"""Waiting for the target: the status of an execution that stands in line."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from models.actions import Action, EmitEvent, EventReason
from models.execution import Execution
from models.hold import Busy
from models.instants import format_instant
from models.observed import Observed
from models.policy import Policy
from models.rules.cooldown import rest_until
from models.rules.writing import keep, touched, write
from models.run import Run
from models.status import ConditionType, FactType, Phase, QueuePlace, WaitReason


def wait_in_line(
    execution: Execution, observed: Observed, busy: Busy, now: datetime, policy: Policy
) -> tuple[Action, ...]:
    """Stay Pending, say who holds the target; written on joining, on becoming the first, and when the holder ends."""
    status = execution.status
    resting = rest_until(observed.holder.status, policy) if observed.holder is not None else None
    reason = WaitReason.RECENTLY_REMEDIATED if resting is not None else WaitReason.TARGET_BUSY
    place = QueuePlace(busy.position, str(busy.holder), busy.since)
    known = status.queue is not None and (status.queue.position, status.queue.holder, status.reason) == (
        place.position,
        place.holder,
        reason,
    )
    if known or (status.queue is not None and busy.position > 1):
        return keep(execution, observed, now)
    message = _line_message(busy, resting)
    new = replace(touched(execution), phase=Phase.PENDING, reason=reason, queue=place)
    new = new.with_condition(ConditionType.LOCKED, True, reason, message, now)
    events: tuple[Action, ...] = ()
    if status.queue is None:
        # Who lost a target that he had already tried on waits for his next attempt: another fact than the first wait.
        new = new.with_fact(FactType.QUEUED, execution.next_attempt, now)
        events = (EmitEvent(EventReason.QUEUED, message, execution.next_attempt),)
    return (*write(execution, observed, new, now), *events)


def _line_message(busy: Busy, resting: datetime | None) -> str:
    if resting is not None:
        return f"position {busy.position}, {busy.holder} has ended and the target rests until {format_instant(resting)}"
    return f"position {busy.position}, held by {busy.holder} since {format_instant(busy.since)}"


def wait_for_engine(execution: Execution, observed: Observed, now: datetime) -> tuple[Action, ...]:
    """Stay Pending, visibly, while nothing here can carry out the engine that was asked for; no target is taken."""
    if execution.status.reason == WaitReason.ENGINE_UNAVAILABLE:
        return keep(execution, observed, now)
    engine = execution.spec.engine.value
    message = f"engine {engine} is not available in this version of the executor"
    new = replace(touched(execution), reason=WaitReason.ENGINE_UNAVAILABLE.value)
    new = new.with_condition(ConditionType.CREATED, False, "PipelineCreationFailed", message, now)
    return write(execution, observed, new, now)


def wait_for_remains(execution: Execution, observed: Observed, now: datetime) -> tuple[Action, ...]:
    """Stay as it is until the TaskRuns and pods of an earlier run of this target are gone."""
    message = f"{observed.remains} TaskRuns or pods of an earlier run of this target are still being removed"
    return _wait_with_target(execution, observed, message, now)


def wait_for_orphan(execution: Execution, observed: Observed, run: Run, now: datetime) -> tuple[Action, ...]:
    """Stay Pending behind a run of our target whose execution is gone."""
    owner = run.execution_key
    message = f"PipelineRun {run.name} of {owner}, which no longer exists, has to end and cool down first"
    return _wait_with_target(execution, observed, message, now)


def _wait_with_target(execution: Execution, observed: Observed, message: str, now: datetime) -> tuple[Action, ...]:
    """Write once that the target is ours but not usable yet; a Running one waiting for its next attempt stays so."""
    status = execution.status
    if status.phase is Phase.RUNNING or status.condition(ConditionType.LOCKED) is not None:
        return keep(execution, observed, now)
    new = replace(touched(execution), reason=WaitReason.TARGET_BUSY.value)
    new = new.with_condition(ConditionType.LOCKED, True, WaitReason.TARGET_BUSY, message, now)
    return write(execution, observed, new, now)
