"""The outbox on a real Redis, with a clock that the test sets."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from models.keys import Key
from tasks.redis_scripts.connection import Client
from tasks.redis_scripts.outbox import Item, Outbox, SetAside, Trouble
from tests.contract.redis_room import set_clock as clocks
from tests.contract.redis_room.set_clock import SetClock

A, B = Key("ns", "a"), Key("ns", "b")
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
BODY = '{"what":"ü\\u0000"}'.encode()


@pytest.fixture
def outbox(redis_client: Client, set_clock: SetClock) -> Outbox:
    return Outbox(redis_client, "t", clock=clocks.LUA)


def ids(items: list[Item]) -> list[str]:
    return [item.event_id for item in items]


def due(client: Client) -> list[bytes]:
    members: Any = client.zrange("t:due", 0, -1)
    return list(members)


def test_events_are_buffered_once_in_their_order(outbox: Outbox, set_clock: SetClock) -> None:
    assert outbox.append("u-a", A, [("e2", BODY), ("e1", b"1")]) == 2
    set_clock.advance(-SECOND)
    assert outbox.append("u-b", B, [("e0", b"0")]) == 1
    assert outbox.append("u-a", A, [("e1", b"other"), ("e3", b"3")]) == 1
    assert outbox.append("u-a", A, []) == 0
    assert ids(outbox.take(10)) == ["e2", "e1", "e0", "e3"]
    assert outbox.take(2) == [Item("e2", A, "u-a", BODY), Item("e1", A, "u-a", b"1")]
    assert outbox.size() == 4


def test_what_is_acknowledged_is_gone_remembered_and_due(outbox: Outbox, redis_client: Client) -> None:
    outbox.append("u-a", A, [("e1", b"1"), ("e2", b"2")])
    outbox.append("u-b", B, [("e3", b"3")])
    assert outbox.acknowledge(outbox.take(10)) == [A, B]
    assert (outbox.take(10), outbox.size()) == ([], 0)
    assert due(redis_client) == [b"ns/a", b"ns/b"]
    assert outbox.acked("u-a") == {"e1", "e2"}
    assert outbox.append("u-a", A, [("e1", b"1")]) == 0
    assert all(0 < ttl <= 86400 for ttl in (redis_client.ttl("t:acked:u-a"), redis_client.ttl("t:acked:u-b")))
    assert set(redis_client.keys("t:*")) == {b"t:due", b"t:acked:u-a", b"t:acked:u-b"}
    assert outbox.acknowledge([]) == []


def test_an_acknowledgement_counts_also_when_redis_was_emptied_meanwhile(outbox: Outbox, redis_client: Client) -> None:
    outbox.append("u-a", A, [("e1", b"1")])
    taken = outbox.take(10)
    redis_client.delete(*redis_client.keys("t:*"))
    assert outbox.acknowledge(taken) == [A]
    assert outbox.append("u-a", A, [("e1", b"1")]) == 0


def test_trimmed_acknowledgements_are_forgotten(outbox: Outbox) -> None:
    outbox.append("u-a", A, [("e1", b"1"), ("e2", b"2")])
    outbox.acknowledge(outbox.take(10))
    outbox.trimmed("u-a", ["e1", "unknown"])
    assert outbox.acked("u-a") == {"e2"}
    outbox.trimmed("u-a")
    assert outbox.acked("u-a") == frozenset()
    assert outbox.append("u-a", A, [("e1", b"1")]) == 1


def test_a_bad_event_is_set_aside_with_its_problem(outbox: Outbox, redis_client: Client) -> None:
    outbox.append("u-a", A, [("e1", b"\xff"), ("e2", b"2")])
    outbox.quarantine(outbox.take(1)[0], "400: too long")
    assert ids(outbox.take(10)) == ["e2"]
    assert outbox.problems(["e1", "e2"]) == {"e1": "400: too long"}
    assert outbox.problems([]) == {}
    assert outbox.quarantined() == 1
    assert outbox.append("u-a", A, [("e1", b"\xff")]) == 0
    assert due(redis_client) == [b"ns/a"]


def test_one_flusher_at_a_time(outbox: Outbox, set_clock: SetClock) -> None:
    first = outbox.flush_turn(MINUTE)
    assert first is not None
    assert outbox.flush_turn(MINUTE) is None
    assert not outbox.end_turn("another")
    assert outbox.end_turn(first)
    set_clock.advance(timedelta(microseconds=1))
    second = outbox.flush_turn(MINUTE)
    assert second not in (None, first)
    assert not outbox.end_turn(first)


def test_a_turn_of_a_dead_flusher_runs_out(redis_client: Client) -> None:
    outbox = Outbox(redis_client, "t")
    assert outbox.flush_turn(timedelta(minutes=1))
    left = redis_client.pttl("t:outbox:turn")
    assert isinstance(left, int)
    assert 0 < left <= 60_000


def test_failures_put_off_the_flush_for_everybody(outbox: Outbox, set_clock: SetClock, redis_client: Client) -> None:
    other = Outbox(redis_client, "t", clock=clocks.LUA)
    assert other.flush_allowed()
    assert outbox.delay_flush() == SECOND
    assert (other.flush_allowed(), other.flush_wait()) == (False, SECOND)
    set_clock.advance(SECOND)
    assert other.flush_allowed()
    assert [other.delay_flush() / SECOND for _ in range(7)] == [2, 4, 8, 16, 32, 60, 60]
    assert outbox.delay_flush(at_least=90 * SECOND) == 90 * SECOND
    assert outbox.delay_flush(share=0.25, words="DataStorage answered 401 é\ud800") == 15 * SECOND
    assert outbox.delay_flush(share=0.0) == timedelta(milliseconds=1)
    assert outbox.delay_flush(at_least=7 * SECOND, share=0.1) == 7 * SECOND
    other.flush_succeeded()
    assert outbox.flush_allowed()
    assert other.trouble() == Trouble()
    assert outbox.delay_flush() == SECOND


def test_everybody_sees_what_was_said_at_the_last_failure(outbox: Outbox, redis_client: Client) -> None:
    other = Outbox(redis_client, "t", clock=clocks.LUA)
    outbox.delay_flush(words="DataStorage did not answer")
    outbox.delay_flush(words="DataStorage answered 401 é\ud800")
    assert other.trouble() == Trouble(2, "DataStorage answered 401 é?")


def test_a_late_refusal_does_not_undo_an_acknowledgement_nor_the_other_way_round(
    outbox: Outbox, redis_client: Client
) -> None:
    """Two flushers had the same events: one saw them stored, the other one, earlier or later, saw them refused."""
    outbox.append("u-a", A, [("e1", b"1"), ("e2", b"2")])
    first, second = outbox.take(10)
    outbox.acknowledge([first])
    outbox.quarantine(first, "400: late")
    outbox.quarantine(second, "400: early", {"type": "x", "detail": None})
    assert outbox.set_aside() == [SetAside("e2", A, "400: early", "2", {"type": "x", "detail": None})]
    outbox.acknowledge([second])
    assert (outbox.quarantined(), outbox.size()) == (0, 0)
    assert outbox.acked("u-a") == {"e1", "e2"}


def test_a_turn_lasts_as_long_as_it_is_kept(redis_client: Client) -> None:
    outbox = Outbox(redis_client, "t")
    token = outbox.flush_turn(MINUTE)
    assert token is not None
    assert not outbox.keep_turn("another", 5 * MINUTE)
    assert outbox.keep_turn(token, 5 * MINUTE)
    left = redis_client.pttl("t:outbox:turn")
    assert isinstance(left, int)
    assert 60_000 < left <= 300_000
    assert outbox.end_turn(token)
    assert not outbox.keep_turn(token, MINUTE)
    assert redis_client.exists("t:outbox:turn") == 0


def test_acknowledgement_that_nobody_waits_for_is_remembered_and_wakes_nobody(outbox: Outbox) -> None:
    outbox.append("u-a", A, [("e1", b"1")], awaited=False)
    outbox.append("u-b", B, [("e2", b"2")])
    taken = outbox.take(10)
    assert [item.awaited for item in taken] == [False, True]
    assert outbox.acknowledge(taken) == [B]
    assert outbox.acked("u-a") == {"e1"}


def test_what_was_set_aside_can_be_sent_again(outbox: Outbox, redis_client: Client) -> None:
    outbox.append("u-a", A, [("e1", BODY), ("e2", b"\xff")], awaited=False)
    outbox.append("u-b", B, [("e3", b"3")])
    for item in outbox.take(2):
        outbox.quarantine(item, "400: no")
    assert outbox.set_aside() == [
        SetAside("e1", A, "400: no", BODY.decode()),
        SetAside("e2", A, "400: no", "\ufffd"),
    ]
    assert outbox.requeue(["e2", "e1", "unknown", "e1"]) == ["e2", "e1"]
    assert outbox.take(10)[1:] == [Item("e2", A, "u-a", "\ufffd".encode()), Item("e1", A, "u-a", BODY)]
    assert (outbox.quarantined(), outbox.size(), outbox.set_aside()) == (0, 3, [])
    assert outbox.requeue([]) == []
