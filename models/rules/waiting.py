"""Waiting for the target: the status of an execution that stands in line."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from models.actions import Action, EmitEvent, EventReason
from models.execution import Execution
from models.hold import Busy
from models.instants import format_instant
from models.names import ASK_CLEAR
from models.observed import Observed
from models.policy import Policy
from models.rules.cooldown import blocks, rest_until
from models.rules.writing import keep, touched, waits_elsewhere, write
from models.run import Run
from models.status import ConditionType, FactType, Phase, QueuePlace, Status, WaitReason


def wait_in_line(
    execution: Execution, observed: Observed, busy: Busy, now: datetime, policy: Policy
) -> tuple[Action, ...]:
    """Stay Pending, say who keeps the target and why.

    Written on joining, once more too, on becoming the first and when the first's reason changes; a block concerns the
    whole line.
    """
    status = execution.status
    reason = _reason(observed.holder, now, policy)
    place = QueuePlace(busy.position, str(busy.holder), busy.since)
    if status.queue is not None and _known(status, status.queue, place, reason):
        return keep(execution, observed, now)
    message = _line_message(observed.holder, busy, reason, policy)
    new = replace(waits_elsewhere(touched(execution)), phase=Phase.PENDING, reason=reason, queue=place)
    new = new.with_condition(ConditionType.LOCKED, True, reason, message, now)
    events: tuple[Action, ...] = ()
    if status.queue is None:
        # Who lost a target that he had already tried on waits for his next attempt: another fact than the first wait.
        new = new.with_fact(FactType.QUEUED, execution.next_attempt, now)
        events = (EmitEvent(EventReason.QUEUED, message, execution.next_attempt),)
    return (*write(execution, observed, new, now), *events)


def _known(status: Status, queue: QueuePlace, place: QueuePlace, reason: WaitReason) -> bool:
    if queue.position == 0:
        return False
    if (reason is WaitReason.PREVIOUS_FAILED) != (status.reason == WaitReason.PREVIOUS_FAILED):
        return False
    same = (queue.position, queue.holder, status.reason) == (place.position, place.holder, reason)
    return same or place.position > 1


def _reason(holder: Execution | None, now: datetime, policy: Policy) -> WaitReason:
    if holder is None or holder.deleted_at is not None:
        return WaitReason.TARGET_BUSY
    if blocks(holder.status, policy):
        return WaitReason.PREVIOUS_FAILED
    until = rest_until(holder.status, policy)
    return WaitReason.TARGET_BUSY if until is None or now >= until else WaitReason.RECENTLY_REMEDIATED


def _line_message(holder: Execution | None, busy: Busy, reason: WaitReason, policy: Policy) -> str:
    place = f"position {busy.position}, "
    if holder is not None and reason is WaitReason.PREVIOUS_FAILED:
        return place + how_to_clear(holder)
    until = rest_until(holder.status, policy) if holder is not None else None
    if until is not None and reason is WaitReason.RECENTLY_REMEDIATED:
        return f"{place}{busy.holder} has ended and the target rests until {format_instant(until)}"
    return f"{place}held by {busy.holder} since {format_instant(busy.since)}"


def how_to_clear(blocking: Execution) -> str:
    """Say who blocks the target and the two ways, ready to be typed, to let it go on."""
    name, namespace = blocking.key.name, blocking.key.namespace
    return (
        f"blocked by {blocking.key}, which failed after a task had started; once its target has been looked at: "
        f'wfe clear {name} -n {namespace} --reason "..." '
        f'(or: kubectl annotate wfe {name} -n {namespace} {ASK_CLEAR}="...")'
    )


def wait_for_remains(execution: Execution, observed: Observed, now: datetime) -> tuple[Action, ...]:
    """Stay as it is until the TaskRuns and pods of an earlier run of this target are gone."""
    message = "TaskRuns or pods of an earlier run of this target are still being removed"
    return _wait_with_target(execution, observed, message, now)


def wait_for_orphan(execution: Execution, observed: Observed, run: Run, now: datetime) -> tuple[Action, ...]:
    """Stay Pending behind a run of our target whose execution is gone."""
    owner = run.execution_key
    message = f"{run.kind} {run.name} of {owner}, which no longer exists, has to end and cool down first"
    return _wait_with_target(execution, observed, message, now)


def _wait_with_target(execution: Execution, observed: Observed, message: str, now: datetime) -> tuple[Action, ...]:
    """Write once why the target is ours but not usable yet; a Running one waiting for its next attempt stays so."""
    status = execution.status
    told = status.condition(ConditionType.LOCKED)
    if status.phase is Phase.RUNNING or (told is not None and told.message == message):
        return keep(execution, observed, now)
    new = replace(waits_elsewhere(touched(execution)), reason=WaitReason.TARGET_BUSY.value)
    new = new.with_condition(ConditionType.LOCKED, True, WaitReason.TARGET_BUSY, message, now)
    return write(execution, observed, new, now)
