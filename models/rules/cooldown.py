"""Which ends keep their target, and how long: a cooldown until an instant, a block until somebody lifts it."""

from __future__ import annotations

from datetime import datetime

from models.policy import Policy
from models.status import Phase, Status


def rest_until(status: Status, policy: Policy) -> datetime | None:
    """Return the end of the cooldown that an ended execution opened, None when it opened none or was unlocked."""
    if not status.phase.terminal or status.completed_at is None or status.unlock is not None or not tried(status):
        return None
    # An end is rounded up to a whole second: no cooldown must not be one of a part of that.
    return status.completed_at + policy.cooldown if policy.cooldown else None


def tried(status: Status) -> bool:
    """Say whether an execution made a run, or used up its attempts to: that is what a target rests from.

    Invalid, skipped and cancelled-in-line ones never had a run, losers of a race gave up an attempt that was still to
    come; an execution that was terminal before we ever touched it (no attempt) is left alone.
    """
    return status.attempt > 0 and (bool(status.run_name) or 0 < status.attempt <= status.failures)


def exhausted(status: Status, policy: Policy) -> bool:
    """Say whether an execution ended because every attempt had failed before a task ran."""
    spent = status.phase is Phase.FAILED and status.failures >= max(status.attempt, policy.max_failures)
    return spent and status.attempt > 0 and status.cancellation is None


def blocks(status: Status, policy: Policy) -> bool:
    """Say whether an execution keeps its target until somebody has looked: a task of it had started and it failed."""
    acted = status.phase is Phase.FAILED and status.failure is not None and status.failure.started
    lifted = status.clearance is not None or status.unlock is not None
    return policy.block_after_failure and acted and status.attempt > 0 and not lifted


def keeps_target(status: Status, now: datetime, policy: Policy) -> bool:
    """Say whether an execution still needs the target that it has or had.

    One whose phase somebody forced has no completionTime yet: its cooldown counts from the repair still to come.
    """
    if not status.phase.terminal or blocks(status, policy):
        return True
    if status.completed_at is None:
        return tried(status) and status.unlock is None
    until = rest_until(status, policy)
    return until is not None and now < until
