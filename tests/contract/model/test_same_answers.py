"""The unit tier's model of the Redis room against the real scripts: the same calls, the same answers, call by call."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.errors import Transient
from models.hold import Mine, Owner
from models.keys import Key
from tasks.redis_scripts.connection import Client
from tasks.redis_scripts.hold import Holds
from tasks.redis_scripts.outbox import Outbox
from tasks.redis_scripts.queue import Claim, WorkQueue
from tests.contract.redis_room import set_clock as clocks
from tests.contract.redis_room.set_clock import SetClock
from tests.unit.model.room import ModelQueue, Room
from tests.unit.model.room_holds import ModelHolds
from tests.unit.model.room_outbox import ModelOutbox

KEYS = [Key("ns", name) for name in "abcd"]
TARGETS = ["prod/deployment/x", "node/y"]
BORN = datetime(2026, 5, 1, tzinfo=UTC)
OWNERS = [Owner(f"u{n}", KEYS[n % 4], BORN + timedelta(seconds=n % 3)) for n in range(6)]
CALLS = 1200
HORIZON = timedelta(seconds=60)


class Pair:
    """The real part and its model, asked the same."""

    def __init__(self, real: Any, model: Any) -> None:
        self.real, self.model = real, model

    def ask(self, method: str, *arguments: Any, **named: Any) -> Any:
        """Return the answer; both must give it."""
        real = _answer(lambda: getattr(self.real, method)(*arguments, **named))
        model = _answer(lambda: getattr(self.model, method)(*arguments, **named))
        if method in ("waiting_heads", "all"):
            real, model = sorted(real, key=str), sorted(model, key=str)
        assert model == real, (method, arguments, named)
        assert getattr(model, "suspect", None) == getattr(real, "suspect", None), (method, arguments, named)
        return real


def _answer(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Transient:
        return Transient


def _fixed(client: Client, set_clock: SetClock) -> tuple[Room, Pair, Pair, Pair]:
    room = Room(lambda: set_clock.microseconds)
    queue = Pair(WorkQueue(client, "t", horizon=HORIZON, clock=clocks.LUA), ModelQueue(room, horizon=HORIZON))
    holds = Pair(Holds(client, "t", clock=clocks.LUA), ModelHolds(room))
    outbox = Pair(Outbox(client, "t", clock=clocks.LUA), ModelOutbox(room))
    return room, queue, holds, outbox


@pytest.mark.parametrize("seed", range(6))
def test_model_answers_as_redis_does(redis_client: Client, set_clock: SetClock, seed: int) -> None:
    rng = random.Random(seed)
    room, queue, holds, outbox = _fixed(redis_client, set_clock)
    claims: list[Claim] = []
    for _ in range(CALLS):
        set_clock.advance(timedelta(milliseconds=rng.choice((1, 7, 300, 2500, 9000))))
        if rng.random() < 0.01:
            microseconds = set_clock.microseconds
            redis_client.flushdb()
            room.wipe()
            set_clock.microseconds = microseconds
            set_clock.advance(timedelta())
        rng.choice((_ask_queue, _ask_holds, _ask_outbox))(rng, {"q": queue, "h": holds, "o": outbox}, set_clock, claims)
        due: Any = redis_client.zrange("t:due", 0, -1, withscores=True)
        assert {member.decode(): int(score) for member, score in due} == room.due


def _ask_queue(rng: random.Random, pairs: dict[str, Pair], set_clock: SetClock, claims: list[Claim]) -> None:
    queue, key = pairs["q"], rng.choice(KEYS)
    match rng.randrange(8):
        case 0:
            at = set_clock.now + timedelta(seconds=rng.choice((-1, 2, 40, 90)))
            queue.ask("notify", [key], rng.choice((None, at)))
        case 1 | 2:
            claim = queue.ask("start", key)
            if isinstance(claim, Claim):
                claims.append(claim)
        case 3 if claims:
            claim = claims.pop(rng.randrange(len(claims)))
            wake = rng.choice((None, set_clock.now + timedelta(seconds=rng.choice((0, 3, 80)))))
            queue.ask("done", claim, wake, failed=rng.random() < 0.3)
        case 4:
            queue.ask("upcoming", 10, HORIZON)
        case 5 if claims:
            queue.ask("renew", rng.sample(claims, min(3, len(claims))))
        case 6:
            queue.ask("remind", rng.sample(KEYS, 2))
        case _:
            queue.ask("overdue", 10)
            queue.ask("depth")


def _ask_holds(rng: random.Random, pairs: dict[str, Pair], set_clock: SetClock, claims: list[Claim]) -> None:
    holds, target, owner = pairs["h"], rng.choice(TARGETS), rng.choice(OWNERS)
    view = holds.ask("look", target, owner.uid)
    match rng.randrange(9):
        case 0 | 1 | 2:
            known = any(holds.ask("look", other, owner.uid) == Mine for other in TARGETS)
            if not known and owner.uid[-1] in ("024" if target == TARGETS[0] else "135"):
                holds.ask("take", target, owner)
        case 3:
            fence = view.fence if isinstance(view, Mine) else 1
            holds.ask("release", target, owner.uid, fence, clean=rng.random() < 0.5)
        case 4:
            holds.ask("leave", target, owner.uid)
        case 5:
            holds.ask("vanish", owner.key, rng.choice((None, owner.uid)))
        case 6 if isinstance(view, Mine):
            other = OWNERS[(int(owner.uid[-1]) + 2) % 6]
            holds.ask("yield_to", target, owner, view.fence, other, view.fence - 1)
        case 7:
            number = holds.ask("begin_restore")
            if number is not None:
                mine = OWNERS[0] if target == TARGETS[0] else OWNERS[1]
                holds.ask("begin_restore")
                holds.ask("attend", number)
                holds.ask("restoring")
                holds.ask("restore", target, mine, 77, set_clock.now)
                holds.ask("restore_place", target, OWNERS[2] if target == TARGETS[0] else OWNERS[3])
                holds.ask("open_gate", number)
        case _:
            holds.ask("waiting_heads")
            holds.ask("all")
            holds.ask("line", target)


def _ask_outbox(rng: random.Random, pairs: dict[str, Pair], set_clock: SetClock, claims: list[Claim]) -> None:
    outbox, owner = pairs["o"], rng.choice(OWNERS)
    match rng.randrange(6):
        case 0 | 1:
            events = [(f"{owner.uid}-{rng.randrange(5)}", b"{}") for _ in range(rng.randrange(3))]
            outbox.ask("append", owner.uid, owner.key, events, awaited=rng.random() < 0.5)
        case 2:
            taken = outbox.ask("take", 3)
            if taken and rng.random() < 0.2:
                outbox.ask("quarantine", taken[0], "no")
            elif rng.random() < 0.7:
                outbox.ask("acknowledge", taken)
            if taken and rng.random() < 0.1:
                # Another flusher had the same events, and heard something else.
                outbox.ask(*rng.choice((("quarantine", taken[0], "no"), ("acknowledge", taken[:1]))))
        case 3:
            outbox.ask("answers", owner.uid, [f"{owner.uid}-{number}" for number in range(5)])
            outbox.ask("trimmed", owner.uid, sorted(outbox.ask("acked", owner.uid))[:1])
        case 4:
            outbox.ask("delay_flush", None, rng.random())
            outbox.ask("flush_allowed")
        case _:
            outbox.ask("flush_wait")
            outbox.ask("flush_succeeded")
            outbox.ask("size")
