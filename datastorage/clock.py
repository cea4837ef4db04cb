"""What DataStorage draws from outside: the time, fresh ids, how old an event may be. Tests bring their own."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from models.audit_fields import PAST_WINDOW


@dataclass(frozen=True, slots=True)
class Clock:
    """The clock and the source of ids of one service; it takes events that are no older than `past_window`."""

    past_window: timedelta = PAST_WINDOW

    def now(self) -> datetime:
        """Return the current instant, aware, UTC."""
        return datetime.now(UTC)  # noqa: TID251 -- this is the one place

    def new_id(self) -> uuid.UUID:
        """Return an id for an event that brought none."""
        return uuid.uuid4()  # noqa: TID251 -- such an event has no identity to derive one from
