"""Every answer and every way to lose one, at each stage of the exchange: stored once, in order, and chains verify."""

from __future__ import annotations

import pytest

from tests.faults.audit.conftest import BOTH
from tests.faults.audit.proxy import Act, Fault, Says, Stage
from tests.faults.audit.race import race
from tests.faults.audit.stand import HASTY, Stand

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

DATE = "Fri, 13 Mar 2026 10:00:09 GMT"
ANSWERS = [
    *(Says(code) for code in (400, 401, 403, 408, 409, 413, 425, 429, 500, 502, 503)),
    Says(429, {"Retry-After": "7"}),
    Says(503, {"Retry-After": DATE, "Date": "Fri, 13 Mar 2026 10:00:00 GMT"}),
    Says(202, body=b'{"accepted":true}'),
    Says(201, body=b'{"event_ids":[]}'),
]
AT_ONCE = (Act.FIN, Act.RST)
NEVER = (Act.HANG, Act.DRIP)


@pytest.fixture(scope="module", params=BOTH)
def world(request: pytest.FixtureRequest) -> Stand:
    made: Stand = request.getfixturevalue(f"{request.param}_stand".replace("postgresql", "postgres"))
    return made


@pytest.mark.parametrize("stage", Stage)
def test_every_answer_and_every_lost_one(world: Stand, stage: Stage) -> None:
    each: tuple[Says | Act, ...] = (*ANSWERS, *AT_ONCE)
    if world.service.url.startswith("sqlite"):
        for what in each:
            world.meets(Fault(stage, what))
    else:
        # What an answer means is not up to the database: all of them in one backlog.
        world.meets(*[Fault(stage, what) for what in each])


@pytest.mark.parametrize("stage", Stage)
def test_answers_that_do_not_come(sqlite_stand: Stand, stage: Stage) -> None:
    """A thread that waited for them for ever would be lost: nobody can kill it."""
    for what in NEVER:
        sqlite_stand.meets(Fault(stage, what), timeout=HASTY)


def test_one_after_the_other(world: Stand) -> None:
    some: tuple[Says | Act, ...] = (Says(503), Says(400), Act.RST, Act.FIN)
    every = [Fault(stage, what) for stage in Stage for what in some]
    world.meets(*every)


def test_an_answer_that_was_lost_after_the_commit(world: Stand) -> None:
    """It was stored, nobody knows it, so nobody says it; the next try is told that it was there."""
    story = f"lost-{world.service.url.partition(':')[0]}"
    ids = world.emit(story, 3)
    before = len(world.proxy.outcomes)
    world.proxy.then(Fault(Stage.AFTER, Act.RST))
    world.turn()
    assert [code for _, code in world.proxy.outcomes[before:]] == [201]
    assert world.stored(story) == set(ids)
    assert (world.outbox.size(), world.outbox.acked(story)) == (3, frozenset())
    world.drain()
    assert [code for _, code in world.proxy.outcomes[before:]] == [201, 201]
    assert world.outbox.acked(story) == set(ids)
    world.check()


def test_flushers_that_do_not_know_of_each_other(world: Stand) -> None:
    race(world, 20261121, 60)
