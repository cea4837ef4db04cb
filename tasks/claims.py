"""The passes this process is at: a thread tells Redis that they live, and each asks here before it writes.

A claim is short, so that the passes of a worker that died are taken over soon; a pass may be long. Until when a claim
is safe is counted on this machine's monotonic clock, from before the request that gave it, so that it never counts
longer here than in Redis: a process that was paused sees that it was. Seconds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Protocol

from models.errors import Conflict
from models.keys import Key
from tasks import clock
from tasks.redis_scripts.queue import Busy, Claim, NotDue
from tasks.repeating import repeat

RENEWALS = 4
"""Signs of life in the time of one claim, so that one that is late or lost costs nothing."""


class Renewer(Protocol):
    """The queue, as far as claims go."""

    def start(self, key: Key) -> Claim | Busy | NotDue: ...

    def renew(self, claims: Sequence[Claim]) -> list[bool]: ...


class Claims:
    """The claims of one process. Thread-safe."""

    def __init__(self, queue: Renewer, lasts: timedelta, longest_pass: timedelta) -> None:
        """A pass older than `longest_pass` is taken for hung and no longer renewed."""
        self._queue = queue
        self._lasts = lasts.total_seconds()
        self._longest = longest_pass.total_seconds()
        self._guard = threading.Lock()
        self._running: dict[Claim, _Span] = {}

    def start(self, key: Key) -> Claim | Busy | NotDue:
        """Claim the pass of a key that is due; `end` must follow. Raises Transient."""
        before = clock.monotonic()
        claim = self._queue.start(key)
        if isinstance(claim, Claim):
            with self._guard:
                self._running[claim] = _Span(before, before + self._lasts)
        return claim

    def confirm(self, claim: Claim) -> None:
        """Return when no other pass of this key can have begun.

        Raises:
            Conflict: another may be at it; this one must not write any more.
            Transient: nobody could be asked.
        """
        with self._guard:
            span = self._running.get(claim)
        if span is not None and clock.monotonic() < span.safe_until:
            return
        if span is None or not self._renew(self._queue, [claim]):
            raise Conflict("this pass took longer than its claim lasts, and another began")

    def renew(self, queue: Renewer | None = None) -> None:
        """Tell Redis once that everything here lives; what it says is lost is given up. Raises Transient."""
        oldest = clock.monotonic() - self._longest
        with self._guard:
            living = [claim for claim, span in self._running.items() if span.began_at > oldest]
        if living:
            self._renew(queue or self._queue, living)

    def end(self, claim: Claim) -> None:
        """Forget a claim, whether its pass was ended in Redis or not."""
        with self._guard:
            self._running.pop(claim, None)

    def keep(self, stopped: Callable[[float], bool]) -> None:
        """Renew until `stopped`, which waits for so many seconds. An absent Redis is asked again and again."""
        repeat(self.renew, self._lasts / RENEWALS, stopped, "claims not renewed")

    def _renew(self, queue: Renewer, claims: Sequence[Claim]) -> bool:
        """Return whether all of them are still ours."""
        before = clock.monotonic()
        kept = queue.renew(claims)
        with self._guard:
            for claim, ours in zip(claims, kept, strict=True):
                span = self._running.get(claim)
                if span is not None and ours:
                    self._running[claim] = _Span(span.began_at, max(span.safe_until, before + self._lasts))
                elif span is not None:
                    del self._running[claim]
        return all(kept)


class _Span:
    """When a pass began, and until when nobody can have taken it over."""

    __slots__ = ("began_at", "safe_until")

    def __init__(self, began_at: float, safe_until: float) -> None:
        self.began_at = began_at
        self.safe_until = safe_until
