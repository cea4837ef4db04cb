"""Which ends open a cooldown, and until when the target rests."""

from __future__ import annotations

from datetime import datetime

from models.policy import Policy
from models.status import Status


def rest_until(status: Status, policy: Policy) -> datetime | None:
    """Return the end of the cooldown that an ended execution opened, None when it opened none.

    Every end after a run was created opens one, exhausted retries too. Invalid, skipped and cancelled-in-line ones
    never had a run; an execution that was terminal before we ever touched it (no attempt) is left alone.
    """
    if not status.phase.terminal or status.attempt == 0 or status.completed_at is None:
        return None
    if not status.run_name and status.failures == 0:
        return None
    return status.completed_at + policy.cooldown
