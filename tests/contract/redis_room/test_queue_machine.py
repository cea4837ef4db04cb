"""A state machine over the queue: watch events, timers, lost, late and doubled messages, crashes and slow passes.

The model says what must hold: per key never two living claims, nothing that was notified is ever lost, and while no
message is lost the one for each wish exists. Time is the test's own; Redis is real.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from models.keys import Key
from tasks.redis_scripts.connection import Client
from tasks.redis_scripts.instants import to_ms
from tasks.redis_scripts.queue import Busy, Claim, Kick, NotDue, WorkQueue
from tests.contract.redis_room import set_clock as clocks
from tests.contract.redis_room.set_clock import SetClock

HORIZON, CLAIM, KICK_AGAIN = timedelta(seconds=60), timedelta(seconds=25), timedelta(seconds=5)
KEYS = [Key("ns", name) for name in "abc"]
SPANS = st.sampled_from([timedelta(seconds=number) for number in (0, 1, 3, 4.999, 5, 10, 24.999, 25, 40, 59, 61, 100)])
PICKS = st.integers(0, 10_000)


@dataclass
class Message:
    """A Celery message on its way; `fires` is its ETA."""

    key: Key
    fires: datetime


@dataclass
class World:
    """What the test knows without asking Redis."""

    wanted: dict[Key, datetime] = field(default_factory=dict)
    claims: dict[Key, list[tuple[Claim, datetime]]] = field(default_factory=lambda: {key: [] for key in KEYS})
    current: dict[Key, tuple[Claim, datetime]] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    lossy: set[Key] = field(default_factory=set)


class QueueMachine(RuleBasedStateMachine):
    client: Client

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.clock = SetClock(self.client)
        self.queue = WorkQueue(self.client, "t", horizon=HORIZON, claim=CLAIM, kick_again=KICK_AGAIN, clock=clocks.LUA)
        self.world = World()

    @rule(span=SPANS)
    def advance(self, span: timedelta) -> None:
        self.clock.advance(span)

    @rule(keys=st.sets(st.sampled_from(KEYS), min_size=1), ahead=st.none() | SPANS)
    def notify(self, keys: set[Key], ahead: timedelta | None) -> None:
        at = None if ahead is None else self.clock.now + ahead
        self._send(self.queue.notify(sorted(keys), at))
        for key in keys:
            self._want(key, at or self.clock.now)
            self._a_message_exists(key)

    @rule(key=st.sampled_from(KEYS))
    def another_script_gives_a_reason_to_look(self, key: Key) -> None:
        self.client.zadd("t:due", {str(key): to_ms(self.clock.now)}, lt=True)
        self._want(key, self.clock.now)
        self.world.lossy.add(key)

    @precondition(lambda self: self.world.messages)
    @rule(pick=PICKS, early=st.sampled_from([timedelta(), timedelta(milliseconds=3), KICK_AGAIN]), again=st.booleans())
    def deliver(self, pick: int, early: timedelta, again: bool) -> None:
        message = self.world.messages[pick % len(self.world.messages)]
        if message.fires > self.clock.now + early:
            return
        if not again:
            self.world.messages.remove(message)
        self._start(message.key)

    @precondition(lambda self: self.world.messages)
    @rule(pick=PICKS)
    def lose_a_message(self, pick: int) -> None:
        self.world.lossy.add(self.world.messages.pop(pick % len(self.world.messages)).key)

    @rule(key=st.sampled_from(KEYS), pick=PICKS, ahead=st.none() | SPANS, failed=st.booleans())
    def end_a_pass(self, key: Key, pick: int, ahead: timedelta | None, failed: bool) -> None:
        claims = self.world.claims[key]
        if claims:
            self._done(claims.pop(pick % len(claims))[0], ahead, failed)

    @rule(key=st.sampled_from(KEYS), pick=PICKS)
    def sign_of_life(self, key: Key, pick: int) -> None:
        claims = self.world.claims[key]
        if claims:
            claim, _ = claims[pick % len(claims)]
            known = self.world.current.get(key)
            ours = known is not None and known[0] == claim
            assert self.queue.renew([claim]) == [ours]
            if ours:
                self.world.current[key] = (claim, self.clock.now + CLAIM)

    @rule(keys=st.sets(st.sampled_from(KEYS), min_size=1))
    def remind(self, keys: set[Key]) -> None:
        now = self.clock.now
        backing_off = {key for key in keys if self.client.hexists("t:fails", str(key)) and key in self.world.wanted}
        self._send(self.queue.remind(sorted(keys)))
        for key in keys - backing_off:
            known = self.world.current.get(key)
            if known is None or known[1] <= now:
                self._want(key, now)
                self._a_message_exists(key)

    @rule(key=st.sampled_from(KEYS))
    def crash(self, key: Key) -> None:
        self.world.claims[key].clear()
        self.world.lossy.add(key)

    @rule(limit=st.integers(1, 3))
    def sweep(self, limit: int) -> None:
        self._send([Kick(key, timedelta()) for key in self.queue.overdue(limit)])
        self._send(self.queue.upcoming(limit, KICK_AGAIN))

    @invariant()
    def redis_holds_exactly_what_is_wanted(self) -> None:
        assert self._scores("due") == {key: to_ms(at) for key, at in self.world.wanted.items()}
        assert self._scores("running").keys() == self.world.current.keys()

    def teardown(self) -> None:
        """Everything that was wanted gets its pass, with nothing but the sweep to help."""
        unserved = set(self.world.wanted) | set(self.world.current)
        self.world.messages.clear()
        self.world.lossy.update(KEYS)
        for _ in range(12):
            self.clock.advance(CLAIM + KICK_AGAIN)
            for key in self.queue.overdue(100):
                self._start(key)
                if self.world.claims[key]:
                    unserved.discard(key)
                    self._done(self.world.claims[key].pop()[0], None, False)
        assert not unserved
        assert self.queue.depth() == (0, 0, 0)

    def _start(self, key: Key) -> None:
        now, known = self.clock.now, self.world.current.get(key)
        living = known is not None and known[1] > now
        wants = (known is not None) or (key in self.world.wanted and self.world.wanted[key] <= now)
        match self.queue.start(key):
            case Claim() as claim:
                assert wants
                assert not living, "two living claims of one key"
                assert claim.now == now
                self.world.current[key] = (claim, now + CLAIM)
                self.world.claims[key].append((claim, now + CLAIM))
                if self.world.wanted.get(key, now + HORIZON) <= now:
                    del self.world.wanted[key]
            case Busy():
                assert living
            case NotDue(delay):
                assert not living
                assert not wants
                if delay is not None:
                    self._send([Kick(key, delay)])
                self._a_message_exists(key)

    def _done(self, claim: Claim, ahead: timedelta | None, failed: bool) -> None:
        key, known = claim.key, self.world.current.get(claim.key)
        kick = self.queue.done(claim, None if ahead is None else self.clock.now + ahead, failed=failed)
        if known is None or known[0] != claim:
            assert kick is None
            return
        del self.world.current[key]
        if ahead is not None:
            self._want(key, self.clock.now + ahead)
        if failed:
            self._want(key, self._backoff(key))
        self._send([] if kick is None else [kick])
        self._a_message_exists(key)

    def _scores(self, zset: str) -> dict[Key, float]:
        members: Any = self.client.zrange(f"t:{zset}", 0, -1, withscores=True)
        return {Key.parse(text.decode()): score for text, score in members}

    def _backoff(self, key: Key) -> datetime:
        counted: Any = self.client.hget("t:fails", str(key))
        doubled: timedelta = timedelta(seconds=0.5) * 2 ** (int(counted) - 1)
        return self.clock.now + min(timedelta(minutes=5), doubled)

    def _want(self, key: Key, at: datetime) -> None:
        self.world.wanted[key] = min(at, self.world.wanted.get(key, at))

    def _send(self, kicks: list[Kick]) -> None:
        self.world.messages += [Message(kick.key, self.clock.now + kick.delay) for kick in kicks]

    def _a_message_exists(self, key: Key) -> None:
        """While none was lost there is one for each wish within the horizon, unless the end of a pass will send it."""
        now, at, known = self.clock.now, self.world.wanted.get(key), self.world.current.get(key)
        if key in self.world.lossy or at is None or at > now + HORIZON or (known and known[1] > now):
            return
        assert any(message.key == key and message.fires <= max(at, now) for message in self.world.messages)


@pytest.mark.timeout(300)
def test_the_queue_keeps_its_promises(redis_client: Client) -> None:
    QueueMachine.client = redis_client
    run_state_machine_as_test(
        QueueMachine,
        settings=settings(
            max_examples=120,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
