"""Keys that want a pass, each once, and the one thread that hands them on.

Live keys go before those of a list. A key stays dirty until it was published, so an absent Redis loses nothing. A key
published a moment ago waits for `spacing` before it goes again: what happens meanwhile is one pass. One that still
changes after that waits until it is quiet, so that a burst of any number of changes costs three passes. Seconds.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from models.errors import Transient
from models.keys import Key
from tasks import clock
from watcher.backoff import Backoff

BATCH = 200
QUIET = 0.1
"""Without a change for so long, a burst seems to be over; each time it goes on after all, this doubles."""
LONGEST = 5.0
"""A key that is never quiet is published so often all the same."""
CALM = 1.0
"""A key that was published and did not change for so long is no burst any more."""
IDLE = 1.0

log = logging.getLogger(__name__)

Publish = Callable[[Sequence[Key], bool], None]


class DirtyKeys:
    """The keys that want a pass: two ordered sets. Thread-safe."""

    def __init__(self, spacing: float = 0.025, monotonic: Callable[[], float] = clock.monotonic) -> None:
        self._spacing = spacing
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._live: dict[Key, None] = {}
        self._listed: dict[Key, None] = {}
        self._recent: dict[Key, _Streak] = {}
        self._woken = False

    def __len__(self) -> int:
        return len(self._live) + len(self._listed)

    def add(self, key: Key, hot: bool) -> None:
        """Make a key dirty; one that is live and listed counts as live."""
        with self._changed:
            now = self._monotonic()
            self._forget_old(now)
            streak = self._recent.get(key)
            if streak is not None:
                streak.changed_at = now
            if hot:
                self._listed.pop(key, None)
                self._live[key] = None
            elif key not in self._live:
                self._listed[key] = None
            self._changed.notify()

    def take(self, timeout: float) -> tuple[list[Key], bool]:
        """Take the next keys and whether they are live; waits up to `timeout`, then returns none."""
        deadline = self._monotonic() + timeout
        with self._changed:
            while True:
                now = self._monotonic()
                self._forget_old(now)
                for keys, hot in ((self._live, True), (self._listed, False)):
                    batch = self._ripe(keys, now)
                    if batch:
                        for key in batch:
                            del keys[key]
                            self._published(key, now)
                        return batch, hot
                wait = deadline - now
                if wait <= 0 or self._woken:
                    self._woken = False
                    return [], True
                self._changed.wait(min(wait, self._next_ripe(now)))

    def give_back(self, keys: Sequence[Key], hot: bool) -> None:
        """Make keys dirty again that could not be published."""
        with self._changed:
            for key in keys:
                self._recent.pop(key, None)
        for key in keys:
            self.add(key, hot)

    def clear(self) -> None:
        """Forget everything: somebody else publishes."""
        with self._changed:
            self._live.clear()
            self._listed.clear()

    def wake(self) -> None:
        """End a `take` that waits."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def _published(self, key: Key, now: float) -> None:
        streak = self._recent.pop(key, None)
        self._recent[key] = _Streak(now, now, 1 if streak is None else streak.count + 1)

    def _ripe_at(self, key: Key) -> float:
        streak = self._recent.get(key)
        if streak is None:
            return 0.0
        if streak.count == 1:
            return streak.published_at + self._spacing
        return min(
            max(streak.changed_at + QUIET * 2.0 ** min(streak.count - 2, 8), streak.published_at + self._spacing),
            streak.published_at + LONGEST,
        )

    def _ripe(self, keys: dict[Key, None], now: float) -> list[Key]:
        batch: list[Key] = []
        for key in keys:
            if self._ripe_at(key) <= now:
                batch.append(key)
                if len(batch) == BATCH:
                    break
        return batch

    def _forget_old(self, now: float) -> None:
        for key in list(islice(self._recent, BATCH)):
            if self._recent[key].published_at + CALM > now:
                return
            if key not in self._live and key not in self._listed:
                del self._recent[key]

    def _next_ripe(self, now: float) -> float:
        if not (self._live or self._listed):
            return IDLE
        return max(min(map(self._ripe_at, (*self._live, *self._listed))) - now, 0.0005)


@dataclass(slots=True)
class _Streak:
    """When a key was published last, when it changed last, and how often it was published without a calm."""

    published_at: float
    changed_at: float
    count: int


class Publisher:
    """Publishes dirty keys, and asks for a resync when told to, while this watcher leads."""

    def __init__(
        self,
        dirty: DirtyKeys,
        publish: Publish,
        resync: Callable[[], None],
        leading: Callable[[], bool],
        draw: Callable[[], float],
    ) -> None:
        self._dirty = dirty
        self._publish = publish
        self._resync = resync
        self._leading = leading
        self._draw = draw
        self._backoff = Backoff(0.1, 5.0)
        self._resync_wanted = threading.Event()
        self._stop = threading.Event()

    def request_resync(self) -> None:
        """Ask for a resync as soon as Redis takes it."""
        self._resync_wanted.set()
        self._dirty.wake()

    def stop(self) -> None:
        """Publish what is dirty if that goes at once, then end `run`."""
        self._stop.set()
        self._dirty.wake()

    def run(self) -> None:
        """Publish until `stop`."""
        while True:
            at_once = self._stop.is_set() or (self._resync_wanted.is_set() and self._leading())
            keys, hot = self._dirty.take(0 if at_once else IDLE)
            if self._stop.is_set() and not keys:
                return
            if not self._leading():
                self._dirty.clear()
                continue
            pause = self._hand_on(keys, hot)
            if pause and self._stop.is_set():
                return
            if pause:
                self._stop.wait(pause)

    def _hand_on(self, keys: list[Key], hot: bool) -> float:
        """Return 0 when everything was taken, else how long to wait; the keys are dirty again then."""
        try:
            if self._resync_wanted.is_set():
                self._ask_for_resync()
            if keys:
                self._publish(keys, hot)
        except Exception as error:
            self._dirty.give_back(keys, hot)
            wait = self._backoff.next(self._draw())
            if isinstance(error, Transient):
                wait = max(wait, error.retry_after.total_seconds() if error.retry_after else 0)
                log.warning("publish failed", extra={"error": str(error), "dirty": len(self._dirty)})
            else:
                log.exception("publish failed unexpectedly")
            return wait
        self._backoff.reset()
        return 0

    def _ask_for_resync(self) -> None:
        """Take the wish back before it is sent: one that comes meanwhile is about something newer."""
        self._resync_wanted.clear()
        try:
            self._resync()
        except Exception:
            self._resync_wanted.set()
            raise
