"""Signs of life of the restoration this process is at, from a thread: one request may take longer than a sign counts.

Who restores says with `moved` that he gets on; one that hangs is no longer vouched for, and another begins. Seconds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from tasks import clock
from tasks.repeating import repeat

SIGN_OF_LIFE = 1.5
"""Four signs in the time that one counts, so that one that is late or lost costs nothing."""
PATIENCE = 40.0
"""Above what three requests to the API server may take: who has not moved for longer hangs."""


class Signs(Protocol):
    """The holds, as far as a restoration's life goes."""

    def attend(self, restoration: int) -> bool: ...


class Attendance:
    """The restorations of one process; there is one at most, and perhaps one that does not count any more."""

    def __init__(self, holds: Signs) -> None:
        self._holds = holds
        self._guard = threading.Lock()
        self._moved_at: dict[int, float] = {}

    @contextmanager
    def at(self, restoration: int | None) -> Iterator[None]:
        """Vouch for a restoration meanwhile; None is none."""
        self.moved(restoration)
        try:
            yield
        finally:
            with self._guard:
                self._moved_at.pop(restoration or 0, None)

    def moved(self, restoration: int | None) -> None:
        """Note that a restoration gets on."""
        if restoration is not None:
            with self._guard:
                self._moved_at[restoration] = clock.monotonic()

    def attend(self) -> None:
        """Tell Redis that the restorations that get on live. Raises Transient."""
        oldest = clock.monotonic() - PATIENCE
        with self._guard:
            living = [restoration for restoration, moved_at in self._moved_at.items() if moved_at > oldest]
        for restoration in living:
            self._holds.attend(restoration)

    def keep(self, stopped: Callable[[float], bool]) -> None:
        """Attend until `stopped`, which waits for so many seconds."""
        repeat(self.attend, SIGN_OF_LIFE, stopped, "restoration not attended")
