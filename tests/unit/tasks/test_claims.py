"""Until when a pass may write: counted from before the request, renewed while the process lives, given up when lost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from unittest.mock import patch

import pytest

from models.errors import Conflict, Transient
from models.keys import Key
from tasks import clock
from tasks.claims import Claims
from tasks.redis_scripts.instants import to_ms
from tasks.redis_scripts.queue import Claim
from tests.unit.model.room import ModelQueue, Room

KEY = Key("ns", "a")
SECOND = 1_000_000


class Redis:
    """The model's queue behind a line that takes time, or is cut."""

    def __init__(self) -> None:
        self.time_us = 1_780_000_000_000_000
        self.takes = 0
        self.away = False
        self.room = Room(lambda: self.time_us)
        self.queue = ModelQueue(self.room, horizon=timedelta(minutes=1))
        self.renewals = 0

    def start(self, key: Key) -> object:
        answer = self.queue.start(key)
        self.time_us += self.takes
        return answer

    def renew(self, claims: list[Claim]) -> list[bool]:
        if self.away:
            self.time_us += 10 * SECOND
            raise Transient("away")
        self.renewals += 1
        return self.queue.renew(claims)


@pytest.fixture
def redis() -> Iterator[Redis]:
    room = Redis()
    with patch.object(clock, "monotonic", lambda: room.time_us / SECOND):
        yield room


@pytest.fixture
def claims(redis: Redis) -> Claims:
    unknown: object = redis
    return Claims(unknown, timedelta(seconds=6), timedelta(minutes=2))  # type: ignore[arg-type]


def started(claims: Claims, redis: Redis) -> Claim:
    redis.queue.notify([KEY])
    claim = claims.start(KEY)
    assert isinstance(claim, Claim)
    return claim


def test_within_its_claim_a_pass_asks_nobody(claims: Claims, redis: Redis) -> None:
    claim = started(claims, redis)
    redis.time_us += 5 * SECOND
    claims.confirm(claim)
    assert redis.renewals == 0


def test_renewed_claim_lasts_as_long_as_its_pass(claims: Claims, redis: Redis) -> None:
    claim = started(claims, redis)
    for _ in range(20):
        redis.time_us += 5 * SECOND
        claims.renew()
        claims.confirm(claim)
    assert redis.renewals == 20
    assert redis.room.running[str(KEY)] == to_ms(redis.queue.now()) + 6000


def test_pass_paused_beyond_its_claim_asks_and_gives_up_when_another_began(claims: Claims, redis: Redis) -> None:
    claim = started(claims, redis)
    redis.time_us += 7 * SECOND
    assert isinstance(redis.queue.start(KEY), Claim)
    with pytest.raises(Conflict, match="another began"):
        claims.confirm(claim)
    with pytest.raises(Conflict):
        claims.confirm(claim)


def test_pass_paused_beyond_its_claim_goes_on_when_nobody_began(claims: Claims, redis: Redis) -> None:
    claim = started(claims, redis)
    redis.time_us += 7 * SECOND
    claims.confirm(claim)
    assert not isinstance(redis.queue.start(KEY), Claim)


def test_answer_that_came_late_makes_no_claim_longer(claims: Claims, redis: Redis) -> None:
    redis.takes = 5 * SECOND
    claim = started(claims, redis)
    redis.time_us += SECOND
    claims.confirm(claim)
    assert redis.renewals == 1


def test_redis_away_kills_no_pass_that_nobody_took_over(claims: Claims, redis: Redis) -> None:
    claim = started(claims, redis)
    redis.away = True
    with pytest.raises(Transient):
        claims.renew()
    with pytest.raises(Transient):
        claims.confirm(claim)
    redis.away = False
    claims.renew()
    claims.confirm(claim)
    assert redis.queue.done(claim, None) is None
    assert redis.room.running == {}


def test_hung_pass_is_not_renewed_for_ever(claims: Claims, redis: Redis) -> None:
    started(claims, redis)
    for _ in range(30):
        redis.time_us += 5 * SECOND
        claims.renew()
    assert isinstance(redis.queue.start(KEY), Claim)


def test_ended_pass_is_not_renewed(claims: Claims, redis: Redis) -> None:
    claim = started(claims, redis)
    claims.end(claim)
    claims.renew()
    assert redis.renewals == 0
    with pytest.raises(Conflict):
        claims.confirm(claim)


def test_thread_survives_whatever_a_renewal_raises(claims: Claims, redis: Redis) -> None:
    started(claims, redis)
    redis.away = True
    turns = iter([False, False, True])
    waits: list[float] = []

    def stopped(seconds: float) -> bool:
        waits.append(seconds)
        return next(turns)

    claims.keep(stopped)
    assert waits == [1.5, 1.5, 1.5]
