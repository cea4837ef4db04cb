"""The work queue: which key wants a pass and when, and which pass is running.

Does not carry messages: what it returns as a `Kick` the caller sends with Celery; a kick that gets lost is found by
the sweep. `now` of a pass is Redis TIME, so that workers' clocks do not matter. Whole milliseconds at Redis.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from models.keys import Key
from tasks.redis_scripts.connection import Client
from tasks.redis_scripts.instants import from_us, span_ms, to_ms
from tasks.redis_scripts.scripts import Scripts

_NAMES = ("notify", "remind", "start", "renew", "done", "overdue", "upcoming", "depth", "forget")
_PARTS = ("due", "running", "kicked", "timers", "fails", "claims")
_BATCH = 1000  # keys of one script call: about 5 ms in which Redis does nothing else
_FIRST_BACKOFF = timedelta(milliseconds=500)
_LONGEST_BACKOFF = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Kick:
    """A message to send: it must arrive `delay` from now, zero meaning at once."""

    key: Key
    delay: timedelta

    @classmethod
    def now(cls, key: Key) -> Kick:
        """Return the message that must arrive at once."""
        return cls(key, timedelta())


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to one pass of `key`. `now` is the instant of this pass; `token` proves the claim at its end."""

    key: Key
    now: datetime
    token: int


@dataclass(frozen=True, slots=True)
class Busy:
    """A pass of this key is running; its end kicks again if anything came meanwhile."""


@dataclass(frozen=True, slots=True)
class NotDue:
    """The key wants no pass yet. `delay`: send Kick(key, delay), it counts as sent; None: nothing to do."""

    delay: timedelta | None


class Depth(NamedTuple):
    """How many keys want a pass now, want one later, and have one running."""

    due: int
    scheduled: int
    running: int


class WorkQueue:
    """The keys that want a pass. Every method is one round trip and raises Transient when Redis cannot answer."""

    def __init__(
        self,
        client: Client,
        prefix: str,
        *,
        horizon: timedelta,
        claim: timedelta = timedelta(seconds=6),
        kick_again: timedelta = timedelta(seconds=5),
        clock: str = "",
    ) -> None:
        """Wakes beyond `horizon` wait for the sweep; a claim that was not renewed for `claim` may be taken over."""
        self._scripts = Scripts(client, "queue", _NAMES, [f"{prefix}:{name}" for name in _PARTS], clock)
        self._rules = (span_ms(horizon), span_ms(kick_again))
        self._claim = span_ms(claim)

    def notify(self, keys: Iterable[Key], at: datetime | None = None) -> list[Kick]:
        """Make keys due at an instant, now when None, and return the messages that needs; earlier instants stay."""
        texts = [str(key) for key in keys]
        instant = "" if at is None else to_ms(at)
        kicks: list[Kick] = []
        for first in range(0, len(texts), _BATCH):
            kicks += _kicks(self._scripts("notify", *self._rules, instant, *texts[first : first + _BATCH]))
        return kicks

    def start(self, key: Key) -> Claim | Busy | NotDue:
        """Claim the pass of a key that is due."""
        reply = self._scripts("start", *self._rules, str(key), self._claim)
        if reply[0] == b"claimed":
            return Claim(key, from_us(reply[1]), reply[1])
        if reply[0] == b"busy":
            return Busy()
        return NotDue(timedelta(milliseconds=reply[1]) if len(reply) > 1 else None)

    def remind(self, keys: Iterable[Key]) -> list[Kick]:
        """Make keys due now, but for those that back off from a failure, and return the messages that needs."""
        texts = [str(key) for key in keys]
        return _kicks(self._scripts("remind", *self._rules, *texts)) if texts else []

    def renew(self, claims: Sequence[Claim]) -> list[bool]:
        """Say of passes that they live; False for those whose claim is lost for good."""
        pairs = [word for claim in claims for word in (str(claim.key), claim.token)]
        return [bool(kept) for kept in self._scripts("renew", *self._rules, self._claim, *pairs)] if pairs else []

    def done(
        self,
        claim: Claim,
        next_wake: datetime | None,
        *,
        failed: bool = False,
        first: timedelta = _FIRST_BACKOFF,
        jitter: float = 0.0,
    ) -> Kick | None:
        """End a pass. After a failed one the key is due again after a backoff that doubles from `first` to 5 min.

        `jitter` is the share of the backoff to add (or take away, when negative). None also when the claim was lost
        to another worker: that one's end counts, and this call changes nothing.
        """
        wake = "" if next_wake is None else to_ms(next_wake)
        backoff = (span_ms(first), span_ms(_LONGEST_BACKOFF), jitter)
        outcome = ("failed", *backoff) if failed else ("",)
        reply = self._scripts("done", *self._rules, str(claim.key), claim.token, wake, *outcome)
        return Kick(claim.key, timedelta(milliseconds=reply[1])) if len(reply) > 1 else None

    def overdue(self, limit: int) -> list[Key]:
        """Return keys that want a pass now and have no message on its way; the caller must kick each."""
        return [Key.parse(text.decode()) for text in self._scripts("overdue", *self._rules, limit)]

    def upcoming(self, limit: int, within: timedelta) -> list[Kick]:
        """Return the messages for keys that get due soon and have none yet: waits beyond the horizon end exactly."""
        return _kicks(self._scripts("upcoming", *self._rules, limit, span_ms(within)))

    def now(self) -> datetime:
        """Return the instant all workers agree on."""
        return from_us(self._scripts("depth", *self._rules)[3])

    def depth(self) -> Depth:
        """Count the keys."""
        due, scheduled, running, _ = self._scripts("depth", *self._rules)
        return Depth(due, scheduled, running)

    def forget(self, key: Key) -> None:
        """Drop everything about a key whose execution is gone."""
        self._scripts("forget", *self._rules, str(key))


def _kicks(reply: Sequence[bytes | int]) -> list[Kick]:
    pairs = zip(reply[::2], reply[1::2], strict=True)
    return [Kick(Key.parse(bytes(text).decode()), timedelta(milliseconds=int(delay))) for text, delay in pairs]
