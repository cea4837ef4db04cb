"""What DataStorage draws from outside: the time and fresh ids. Tests bring their own."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Clock:
    """The clock and the source of ids of one service."""

    def now(self) -> datetime:
        """Return the current instant, aware, UTC."""
        return datetime.now(UTC)  # noqa: TID251 -- this is the one place

    def new_id(self) -> uuid.UUID:
        """Return an id for an event that brought none."""
        return uuid.uuid4()  # noqa: TID251 -- such an event has no identity to derive one from
