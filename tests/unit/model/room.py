"""A model of the Redis room's keys: plain dicts, a clock that the scheduler sets, and the work queue's scripts.

Each method is one script of tasks/redis_scripts, line for line in meaning; tests/contract/model holds them against it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from models.keys import Key
from tasks.redis_scripts.instants import from_us, span_ms, to_ms
from tasks.redis_scripts.queue import Busy, Claim, Depth, Kick, NotDue

FIRST_BACKOFF = timedelta(milliseconds=500)
LONGEST_BACKOFF_MS, STALE_MS = 300_000, 60_000


@dataclass(slots=True)
class Hold:
    uid: str
    key: str
    fence: int
    since: int


@dataclass(slots=True)
class Room:
    """Everything Redis holds. `time_us` is Redis TIME; wiping drops all but the clock."""

    time_us: Callable[[], int]
    due: dict[str, int] = field(default_factory=dict)
    running: dict[str, int] = field(default_factory=dict)
    kicked: dict[str, int] = field(default_factory=dict)
    timers: dict[str, int] = field(default_factory=dict)
    fails: dict[str, int] = field(default_factory=dict)
    claims: dict[str, int] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    lines: dict[str, dict[tuple[str, str], int]] = field(default_factory=dict)
    owners: dict[str, tuple[str, str]] = field(default_factory=dict)
    owned: dict[str, list[str]] = field(default_factory=dict)
    suspects: set[str] = field(default_factory=set)
    fence: int = 0
    epoch: int = 0
    restoring: int = 0
    restoring_until: int = 0
    order: dict[str, int] = field(default_factory=dict)
    body: dict[str, bytes] = field(default_factory=dict)
    source: dict[str, tuple[str, str, bool]] = field(default_factory=dict)
    quarantine: dict[str, str] = field(default_factory=dict)
    acked: dict[str, set[str]] = field(default_factory=dict)
    acked_until: dict[str, int] = field(default_factory=dict)
    turn: tuple[str, int] | None = None
    backoff: tuple[int, int] = (0, 0)

    @property
    def now(self) -> int:
        """Milliseconds."""
        return self.time_us() // 1000

    def want(self, key: str, ms: int) -> None:
        """Make a key due; its instant only moves earlier."""
        self.due[key] = min(self.due.get(key, ms), ms)

    def wipe(self) -> None:
        """Come back empty."""
        fresh = Room(self.time_us)
        for name in self.__slots__:
            setattr(self, name, getattr(fresh, name))


def by_score(zset: dict[str, int], highest: int) -> list[str]:
    """Return members up to a score in the order of a sorted set."""
    return sorted((m for m, score in zset.items() if score <= highest), key=lambda m: (zset[m], m.encode()))


class ModelQueue:
    """The work queue (queue_*.lua)."""

    def __init__(
        self,
        room: Room,
        *,
        horizon: timedelta,
        claim: timedelta = timedelta(seconds=6),
        kick_again: timedelta = timedelta(seconds=5),
    ) -> None:
        self._room = room
        self._horizon, self._claim, self._kick_again = span_ms(horizon), span_ms(claim), span_ms(kick_again)

    def notify(self, keys: Iterable[Key], at: datetime | None = None) -> list[Kick]:
        room, kicks = self._room, []
        for key in keys:
            text = str(key)
            room.want(text, room.now if at is None else to_ms(at))
            if not self._alive(text):
                kicks += self._kick(text, room.due[text])
        return kicks

    def start(self, key: Key) -> Claim | Busy | NotDue:
        room, text, now = self._room, str(key), self._room.now
        room.kicked.pop(text, None)
        if room.timers.get(text, math.inf) <= now + self._kick_again:
            del room.timers[text]
        if self._alive(text):
            return Busy()
        due = room.due.get(text)
        if text not in room.running:
            if due is None:
                return NotDue(None)
            if due > now:
                delay = self._arm(text, due)
                return NotDue(None if delay is None else timedelta(milliseconds=delay))
        if due is not None and due <= now:
            del room.due[text]
        room.running[text] = now + self._claim
        room.claims[text] = room.time_us()
        return Claim(key, from_us(room.time_us()), room.time_us())

    def remind(self, keys: Iterable[Key]) -> list[Kick]:
        room, kicks = self._room, list[Kick]()
        for text in map(str, keys):
            if not (room.fails.get(text) and text in room.due) and not self._alive(text):
                room.want(text, room.now)
                kicks += self._kick(text, room.now)
        return kicks

    def renew(self, claims: Sequence[Claim]) -> list[bool]:
        kept = [self._claimed(claim) for claim in claims]
        for claim, ours in zip(claims, kept, strict=True):
            if ours:
                self._room.running[str(claim.key)] = self._room.now + self._claim
        return kept

    def done(
        self,
        claim: Claim,
        next_wake: datetime | None,
        *,
        failed: bool = False,
        first: timedelta = FIRST_BACKOFF,
        jitter: float = 0.0,
    ) -> Kick | None:
        room, text = self._room, str(claim.key)
        wake = None if next_wake is None else to_ms(next_wake)
        if not self._claimed(claim):
            return None
        del room.running[text], room.claims[text]
        if failed:
            before = room.fails.get(text, 0)
            room.fails[text] = before + 1
            backoff = min(span_ms(first) * 2**before, LONGEST_BACKOFF_MS) * (1 + jitter)
            again = room.now + max(1, math.floor(backoff))
            wake = again if wake is None else min(wake, again)
        else:
            room.fails.pop(text, None)
        if wake is not None:
            room.want(text, wake)
        kicks = self._kick(text, room.due[text]) if text in room.due else []
        return kicks[0] if kicks else None

    def overdue(self, limit: int) -> list[Key]:
        room, now = self._room, self._room.now
        for stamps in (room.kicked, room.timers):
            for text in by_score(stamps, now - STALE_MS):
                del stamps[text]
        found: list[str] = []
        for zset in (room.running, room.due):
            for text in by_score(zset, now):
                if len(found) < limit and not self._alive(text) and self._arm(text, now) is not None:
                    found.append(text)
        return [Key.parse(text) for text in found]

    def upcoming(self, limit: int, within: timedelta) -> list[Kick]:
        room, kicks = self._room, list[Kick]()
        page = [text for text in by_score(room.due, room.now + span_ms(within)) if room.due[text] > room.now]
        for text in page[:limit]:
            if not self._alive(text):
                kicks += self._kick(text, room.due[text])
        return kicks

    def now(self) -> datetime:
        return from_us(self._room.time_us())

    def depth(self) -> Depth:
        room = self._room
        expired = len(by_score(room.running, room.now))
        due = len(by_score(room.due, room.now))
        return Depth(due + expired, len(room.due) - due, len(room.running) - expired)

    def forget(self, key: Key) -> None:
        room, text = self._room, str(key)
        for stamps in (room.due, room.kicked, room.timers, room.fails):
            stamps.pop(text, None)
        if not self._alive(text):
            room.running.pop(text, None)
            room.claims.pop(text, None)

    def _claimed(self, claim: Claim) -> bool:
        text = str(claim.key)
        return text in self._room.running and self._room.claims.get(text) == claim.token

    def _alive(self, text: str) -> bool:
        return self._room.running.get(text, 0) > self._room.now

    def _on_its_way(self, stamp: int | None) -> bool:
        return stamp is not None and self._room.now - self._kick_again < stamp <= self._room.now

    def _arm(self, text: str, at: int) -> int | None:
        room, now = self._room, self._room.now
        timer = room.timers.get(text)
        if at <= now:
            if self._on_its_way(room.kicked.get(text)) or self._on_its_way(timer):
                return None
            room.kicked[text] = now
            return 0
        if at > now + self._horizon or (timer is not None and now < timer <= at):
            return None
        room.timers[text] = at
        return at - now

    def _kick(self, text: str, at: int) -> list[Kick]:
        delay = self._arm(text, at)
        return [] if delay is None else [Kick(Key.parse(text), timedelta(milliseconds=delay))]
