"""What a holder does with its target, in one word and in a few. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from models.execution import Execution
from models.instants import format_instant
from models.policy import Policy
from models.rules.cooldown import blocks
from models.status import WaitReason


class Doing(StrEnum):
    """Why a target is held."""

    STARTING = "Starting"
    RUNNING = "Running"
    BACKING_OFF = "BackingOff"
    FROZEN = "Frozen"
    CANCELLING = "Cancelling"
    DELETING = "Deleting"
    BLOCKING = "Blocking"
    RESTING = "Resting"
    RELEASING = "Releasing"
    GONE = "Gone"


@dataclass(frozen=True, slots=True)
class Use:
    """What the holder does; `until` where that has an end that is known."""

    doing: Doing
    words: str
    until: datetime | None = None


def use_of(holder: Execution | None, due: datetime | None, now: datetime, policy: Policy) -> Use:
    """Say what a holder does; `due` is the instant at which its key wants a pass, None when it wants none."""
    if holder is None:
        return Use(Doing.GONE, "its execution is gone; the next resync frees the target")
    status = holder.status
    phase = status.phase.value
    if holder.deleted_at is not None:
        return Use(Doing.DELETING, f"{phase}, being deleted")
    if blocks(status, policy):
        return Use(Doing.BLOCKING, f"{phase}, blocks it until cleared (`wfe clear {holder.key.name}`)")
    if status.phase.terminal:
        if due is not None and due > now:
            return Use(Doing.RESTING, f"{phase}, rests until {format_instant(due)}", due)
        return Use(Doing.RELEASING, f"{phase}, being released")
    if status.cancellation is not None:
        return Use(Doing.CANCELLING, f"{phase}, being cancelled")
    if holder.attempt_failed and status.next_allowed is not None:
        return Use(
            Doing.BACKING_OFF,
            f"{phase}, tries again at {format_instant(status.next_allowed)} (attempt {status.failures} failed)",
            status.next_allowed,
        )
    if status.reason == WaitReason.FROZEN:
        return Use(Doing.FROZEN, f"{phase}, frozen")
    if status.run_name:
        return Use(Doing.RUNNING, f"{phase} {status.reason}".strip())
    return Use(Doing.STARTING, f"{phase} {status.reason}".strip())
