"""Holds and lines on a real Redis, with a clock that the test sets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.errors import Transient
from models.hold import Busy, Free, GateClosed, Held, Known, Mine, Owner
from models.keys import Key
from models.target import run_name
from tasks.redis_scripts.connection import Client
from tasks.redis_scripts.hold import Holds
from tasks.redis_scripts.queue import Claim, Kick, WorkQueue
from tests.contract.redis_room import set_clock as clocks
from tests.contract.redis_room.set_clock import SetClock

TARGET = "prod/deployment/my app"
OTHER = "node/worker-1"
BORN = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


def owner(name: str, age: int = 0, uid: str = "") -> Owner:
    return Owner(uid or f"uid-{name}", Key("ns", name), BORN + timedelta(seconds=age))


A, B, C, D = owner("a", 1), owner("b", 2), owner("c", 3), owner("d", 4)


@pytest.fixture
def closed(redis_client: Client, set_clock: SetClock) -> Holds:
    return Holds(redis_client, "t", clock=clocks.LUA)


@pytest.fixture
def holds(closed: Holds) -> Holds:
    assert closed.open_gate()
    return closed


def take(holds: Holds, who: Owner, target: str = TARGET) -> Mine:
    view = holds.take(target, who)
    assert isinstance(view, Mine)
    return view


def wait_for(holds: Holds, *owners: Owner) -> None:
    for who in owners:
        assert isinstance(holds.take(TARGET, who), Busy)


def due(client: Client) -> list[bytes]:
    members: Any = client.zrange("t:due", 0, -1)
    return list(members)


def nothing_but_the_fence(client: Client) -> bool:
    return set(client.keys("t:*")) <= {b"t:fence", b"t:epoch", b"t:due", b"t:suspects"}


def test_a_free_target_is_taken_and_recognised(holds: Holds, set_clock: SetClock) -> None:
    assert holds.look(TARGET, A.uid) == Free()
    mine = take(holds, A)
    assert mine == Mine(set_clock.microseconds, set_clock.now)
    set_clock.advance(timedelta(hours=5))
    assert holds.take(TARGET, A) == mine == holds.look(TARGET, A.uid)


def test_others_join_the_line_in_order_of_creation(holds: Holds) -> None:
    since = take(holds, A).since
    assert holds.take(TARGET, C) == Busy(A.key, A.uid, since, 1)
    assert holds.take(TARGET, B) == Busy(A.key, A.uid, since, 1)
    assert holds.look(TARGET, C.uid) == Busy(A.key, A.uid, since, 2)
    assert holds.look(TARGET, D.uid) == Busy(A.key, A.uid, since, 0)
    assert holds.line(TARGET) == [B, C]
    assert holds.line(TARGET, limit=1)[0].key == B.key


def test_equal_creation_is_ordered_by_uid(holds: Holds) -> None:
    take(holds, A)
    second, first = owner("x", 5, "uid-2"), owner("y", 5, "uid-1")
    wait_for(holds, second, first)
    assert holds.line(TARGET) == [first, second]


def test_targets_do_not_hinder_each_other(holds: Holds) -> None:
    assert take(holds, A).fence < take(holds, B, OTHER).fence
    assert holds.held_count() == 2


def test_a_release_makes_the_first_in_line_due(holds: Holds, redis_client: Client) -> None:
    mine = take(holds, A)
    wait_for(holds, C, B)
    assert holds.waiting_heads() == []
    assert holds.release(TARGET, A.uid, mine.fence, clean=True) == [B.key]
    assert due(redis_client) == [b"ns/b"]
    assert holds.waiting_heads() == [B.key]
    assert take(holds, B).fence > mine.fence
    assert holds.line(TARGET) == [C]


def test_a_release_during_a_pass_of_the_first_is_not_lost(
    holds: Holds, redis_client: Client, set_clock: SetClock
) -> None:
    queue = WorkQueue(redis_client, "t", horizon=timedelta(minutes=1), clock=clocks.LUA)
    mine = take(holds, A)
    queue.notify([B.key])
    claim = queue.start(B.key)
    assert isinstance(claim, Claim)
    wait_for(holds, B)
    holds.release(TARGET, A.uid, mine.fence, clean=True)
    assert queue.done(claim, set_clock.now + timedelta(seconds=30)) == Kick.now(B.key)


def test_only_the_owner_under_its_fence_releases(holds: Holds) -> None:
    mine = take(holds, A)
    wait_for(holds, B)
    assert holds.release(TARGET, B.uid, mine.fence, clean=True) == []
    assert holds.release(TARGET, A.uid, mine.fence - 1, clean=True) == []
    assert holds.release(OTHER, A.uid, mine.fence, clean=True) == []
    assert take(holds, A) == mine


def test_a_newcomer_does_not_pass_the_first_of_a_free_target(holds: Holds, redis_client: Client) -> None:
    mine = take(holds, A)
    wait_for(holds, B)
    holds.release(TARGET, A.uid, mine.fence, clean=True)
    redis_client.delete("t:due")
    assert holds.take(TARGET, C) == Busy(B.key, B.uid, B.created, 2)
    assert due(redis_client) == [b"ns/b"]
    assert holds.look(TARGET, B.uid) == Free()
    take(holds, B)


def test_an_older_newcomer_is_the_first(holds: Holds) -> None:
    mine = take(holds, B)
    wait_for(holds, C)
    holds.release(TARGET, B.uid, mine.fence, clean=True)
    take(holds, A)
    assert holds.line(TARGET) == [C]


def test_leaving_a_line_lets_the_next_go_on(holds: Holds, redis_client: Client) -> None:
    mine = take(holds, A)
    wait_for(holds, B, C)
    holds.release(TARGET, A.uid, mine.fence, clean=True)
    assert holds.leave(TARGET, D.uid) == []
    assert holds.leave(TARGET, B.uid) == [C.key]
    take(holds, C)
    holds.release(TARGET, C.uid, take(holds, C).fence, clean=True)
    assert nothing_but_the_fence(redis_client)


def test_the_holder_does_not_leave_what_it_holds(holds: Holds) -> None:
    mine = take(holds, A)
    assert holds.leave(TARGET, A.uid) == []
    assert take(holds, A) == mine


def test_a_vanished_holder_frees_its_target(holds: Holds, redis_client: Client) -> None:
    take(holds, A)
    wait_for(holds, B)
    assert holds.vanish(Key("ns", "unknown"), None) == []
    assert holds.vanish(A.key, "uid-of-another") == []
    assert holds.vanish(A.key, A.uid) == [B.key]
    take(holds, B)
    assert holds.vanish(B.key, None) == []
    assert nothing_but_the_fence(redis_client)


def test_a_target_is_beyond_doubt_for_the_pass_that_takes_it_after_a_clean_release_only(holds: Holds) -> None:
    mine = take(holds, A)
    assert not mine.suspect
    seen = holds.look(TARGET, A.uid)
    assert seen == mine
    assert isinstance(seen, Mine)
    assert seen.suspect
    holds.release(TARGET, A.uid, mine.fence, clean=True)
    assert not take(holds, B).suspect


def test_a_target_that_was_not_released_cleanly_is_suspect(holds: Holds) -> None:
    mine = take(holds, A)
    holds.release(TARGET, A.uid, mine.fence, clean=False)
    assert take(holds, B).suspect
    holds.vanish(B.key, B.uid)
    assert take(holds, C).suspect


def test_names_are_suspect_once_somebody_said_so(holds: Holds) -> None:
    holds.suspect([run_name(TARGET), *(f"wfe-{number:016x}" for number in range(2500))])
    assert take(holds, A).suspect


def test_what_a_key_is_about_is_known_without_its_execution(holds: Holds) -> None:
    assert holds.known(A.key) is None
    mine = take(holds, A)
    assert holds.known(A.key) == Known(TARGET, A.uid, mine)
    wait_for(holds, B)
    assert holds.known(B.key) == Known(TARGET, B.uid, holds.look(TARGET, B.uid))
    holds.take(OTHER, Owner("another", A.key, A.created))
    assert holds.known(A.key) is None


def test_suspects_are_noted_behind_a_closed_gate(closed: Holds) -> None:
    closed.suspect([run_name(TARGET)])
    closed.begin_restore()
    assert closed.open_gate()
    assert take(closed, A).suspect


def test_a_vanished_first_in_line_lets_the_next_go_on(holds: Holds) -> None:
    mine = take(holds, A)
    wait_for(holds, B, C)
    assert holds.vanish(B.key, None) == []
    assert holds.release(TARGET, A.uid, mine.fence, clean=True) == [C.key]


def test_a_name_used_again_keeps_its_two_executions_apart(holds: Holds) -> None:
    again = owner("a", 9, "uid-later")
    take(holds, A)
    since = take(holds, A).since
    assert holds.take(TARGET, again) == Busy(A.key, A.uid, since, 1)
    assert holds.vanish(A.key, A.uid) == [again.key]
    take(holds, again)


def test_the_gate_lets_nothing_in_or_out(closed: Holds, redis_client: Client) -> None:
    assert not closed.gate_open()
    assert closed.take(TARGET, A) == closed.look(TARGET, A.uid) == GateClosed()
    with pytest.raises(Transient, match="gate is closed"):
        closed.release(TARGET, A.uid, 1, clean=True)
    with pytest.raises(Transient, match="gate is closed"):
        closed.leave(TARGET, A.uid)
    with pytest.raises(Transient, match="gate is closed"):
        closed.vanish(A.key, None)
    assert closed.waiting_heads() == []
    assert redis_client.keys("t:*") == []


def test_restored_holds_and_lines_are_as_before(closed: Holds, set_clock: SetClock) -> None:
    restoration = closed.begin_restore()
    assert closed.restore(TARGET, A, 123, BORN)
    assert closed.restore_place(TARGET, C)
    assert closed.restore_place(TARGET, B)
    assert not closed.restore_place(TARGET, A)
    assert closed.open_gate(restoration)
    assert closed.look(TARGET, A.uid) == Mine(123, BORN)
    assert closed.line(TARGET) == [B, C]
    assert closed.all() == [Held(TARGET, A.key, A.uid, 123, BORN, 2)]
    assert closed.release(TARGET, A.uid, 123, clean=True) == [B.key]
    assert take(closed, B).fence == set_clock.microseconds


def test_nothing_is_restored_through_an_open_gate(holds: Holds) -> None:
    assert holds.begin_restore() is None
    assert not holds.restore(TARGET, A, 5, BORN)
    assert not holds.restore_place(TARGET, B)
    assert holds.look(TARGET, B.uid) == Free()
    assert holds.open_gate()


def test_of_two_restored_holders_the_greater_fence_stays(closed: Holds, redis_client: Client) -> None:
    assert closed.restore(TARGET, A, 5, BORN)
    assert closed.restore(TARGET, B, 7, BORN)
    assert not closed.restore(TARGET, C, 6, BORN)
    closed.open_gate()
    assert closed.look(TARGET, B.uid) == Mine(7, BORN)
    assert redis_client.hkeys("t:owners") == [b"uid-b"]


def test_the_fence_grows_past_a_restored_one_of_the_future(closed: Holds, set_clock: SetClock) -> None:
    ahead = set_clock.microseconds + 10**9
    closed.restore(TARGET, A, ahead, BORN)
    closed.open_gate()
    assert take(closed, B, OTHER).fence == ahead + 1


def test_a_redis_emptied_during_a_restoration_is_noticed(
    closed: Holds, set_clock: SetClock, redis_client: Client
) -> None:
    restoration = closed.begin_restore()
    closed.restore(TARGET, A, 5, BORN)
    redis_client.delete(*redis_client.keys("t:*"))
    closed.restore(OTHER, B, 6, BORN)
    assert not closed.open_gate(restoration)
    set_clock.advance(timedelta(seconds=1))
    again = closed.begin_restore()
    assert closed.all() == []
    assert not closed.open_gate(restoration)
    assert closed.open_gate(again)


def test_one_restores_at_a_time_while_he_lives(
    closed: Holds, redis_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.redis_scripts.hold.RESTORER_LIVES", timedelta(minutes=10))
    restoration = closed.begin_restore()
    assert restoration is not None
    assert closed.restore(TARGET, A, 5, BORN)
    redis_client.pexpire("t:restoring", 60_000)
    assert closed.attend(restoration)
    assert redis_client.pttl("t:restoring") > 300_000
    assert closed.restoring()
    assert closed.begin_restore() is None
    assert not closed.attend(restoration + 1)
    closed.give_up(restoration + 1)
    assert closed.restoring()
    closed.give_up(restoration)
    assert not closed.restoring()
    assert not closed.open_gate(restoration)
    assert closed.begin_restore() is not None
    assert closed.all() == []


def test_yielding_gives_the_hold_and_joins_the_line(holds: Holds, redis_client: Client, set_clock: SetClock) -> None:
    mine = take(holds, C)
    wait_for(holds, B, D)
    assert holds.yield_to(TARGET, C, mine.fence - 1, B, 77) == mine
    assert holds.yield_to(TARGET, C, mine.fence, B, 77) == Busy(B.key, B.uid, set_clock.now, 1)
    assert due(redis_client) == [b"ns/b"]
    assert holds.look(TARGET, B.uid) == Mine(77, set_clock.now)
    assert holds.line(TARGET) == [C, D]
    assert holds.release(TARGET, B.uid, 77, clean=True) == [C.key]
    assert take(holds, C).fence > mine.fence
