"""The work queue on a real Redis, with a clock that the test sets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from models.keys import Key
from tasks.redis_scripts.connection import Client
from tasks.redis_scripts.queue import Busy, Claim, Kick, NotDue, WorkQueue
from tests.contract.redis_room import set_clock as clocks
from tests.contract.redis_room.set_clock import SetClock

A, B = Key("ns", "a"), Key("ns", "b")
SECOND = timedelta(seconds=1)
AT_ONCE = timedelta()


@pytest.fixture
def queue(redis_client: Client, set_clock: SetClock) -> WorkQueue:
    return WorkQueue(redis_client, "t", horizon=60 * SECOND, clock=clocks.LUA)


def claimed(queue: WorkQueue, key: Key = A) -> Claim:
    claim = queue.start(key)
    assert isinstance(claim, Claim)
    return claim


def test_a_notified_key_is_kicked_claimed_and_done(queue: WorkQueue, set_clock: SetClock) -> None:
    assert queue.notify([A, B]) == [Kick(A, AT_ONCE), Kick(B, AT_ONCE)]
    claim = claimed(queue)
    assert (claim.key, claim.now) == (A, set_clock.now)
    assert queue.depth() == (1, 0, 1)
    assert queue.done(claim, None) is None
    assert queue.depth() == (1, 0, 0)
    assert queue.start(A) == NotDue(None)


def test_a_burst_costs_two_passes(queue: WorkQueue, set_clock: SetClock) -> None:
    def burst() -> int:
        sent = 0
        for _ in range(500):
            set_clock.advance(timedelta(milliseconds=1))
            sent += len(queue.notify([A]))
        return sent

    assert burst() == 1
    claim = claimed(queue)
    assert burst() == 0
    assert queue.done(claim, None) == Kick(A, AT_ONCE)
    assert queue.done(claimed(queue), None) is None


def test_a_running_key_is_busy_and_stays_due(queue: WorkQueue) -> None:
    queue.notify([A])
    claim = claimed(queue)
    assert queue.notify([A]) == []
    assert queue.start(A) == Busy()
    assert queue.done(claim, None) == Kick(A, AT_ONCE)


def test_a_later_instant_never_replaces_an_earlier_one(queue: WorkQueue, set_clock: SetClock) -> None:
    assert queue.notify([A], set_clock.now + 10 * SECOND) == [Kick(A, 10 * SECOND)]
    assert queue.notify([A], set_clock.now + 20 * SECOND) == []
    set_clock.advance(10 * SECOND)
    claimed(queue)


def test_an_earlier_instant_needs_a_message_of_its_own(queue: WorkQueue, set_clock: SetClock) -> None:
    queue.notify([A], set_clock.now + 30 * SECOND)
    assert queue.notify([A], set_clock.now + 10 * SECOND) == [Kick(A, 10 * SECOND)]
    assert queue.notify([A]) == [Kick(A, AT_ONCE)]


def test_an_instant_beyond_the_horizon_is_left_to_the_sweep(queue: WorkQueue, set_clock: SetClock) -> None:
    assert queue.notify([A], set_clock.now + 90 * SECOND) == []
    assert queue.upcoming(10, 6 * SECOND) == []
    set_clock.advance(85 * SECOND)
    assert queue.overdue(10) == []
    assert queue.upcoming(10, 6 * SECOND) == [Kick(A, 5 * SECOND)]
    assert queue.upcoming(10, 6 * SECOND) == []


def test_an_eta_message_that_fires_early_is_sent_again(queue: WorkQueue, set_clock: SetClock) -> None:
    queue.notify([A], set_clock.now + 10 * SECOND)
    set_clock.advance(timedelta(seconds=9, milliseconds=997))
    assert queue.start(A) == NotDue(timedelta(milliseconds=3))
    set_clock.advance(timedelta(milliseconds=3))
    claimed(queue)


def test_a_stray_message_long_before_the_timer_sends_none(queue: WorkQueue, set_clock: SetClock) -> None:
    queue.notify([A], set_clock.now + 40 * SECOND)
    assert queue.start(A) == NotDue(None)


def test_a_timer_that_fired_into_a_running_pass_is_not_counted_on(queue: WorkQueue, set_clock: SetClock) -> None:
    queue.notify([A], set_clock.now + 10 * SECOND)
    set_clock.advance(9 * SECOND)
    queue.notify([A])
    claim = claimed(queue)
    set_clock.advance(SECOND)
    assert queue.start(A) == Busy()
    assert queue.done(claim, set_clock.now) == Kick(A, AT_ONCE)


def test_a_wake_beyond_a_running_pass_is_kept(queue: WorkQueue, set_clock: SetClock) -> None:
    queue.notify([A])
    claim = claimed(queue)
    assert queue.notify([A], set_clock.now + 40 * SECOND) == []
    assert queue.done(claim, None) == Kick(A, 40 * SECOND)


def test_the_end_of_a_pass_sets_the_next_wake(queue: WorkQueue, set_clock: SetClock) -> None:
    queue.notify([A])
    assert queue.done(claimed(queue), set_clock.now + timedelta(microseconds=1)) == Kick(A, timedelta(milliseconds=1))
    assert queue.depth() == (0, 1, 0)


def test_a_crashed_pass_is_taken_over_when_its_claim_ends(queue: WorkQueue, set_clock: SetClock) -> None:
    queue.notify([A])
    crashed = claimed(queue)
    set_clock.advance(timedelta(seconds=5, milliseconds=999))
    assert (queue.overdue(10), queue.start(A)) == ([], Busy())
    set_clock.advance(timedelta(milliseconds=1))
    assert (queue.overdue(10), queue.overdue(10)) == ([A], [])
    second = claimed(queue)
    assert queue.done(crashed, set_clock.now) is None
    assert queue.depth() == (0, 0, 1)
    assert queue.done(second, None) is None
    assert queue.depth() == (0, 0, 0)


def test_a_slow_pass_that_nobody_took_over_still_ends(queue: WorkQueue, set_clock: SetClock) -> None:
    queue.notify([A])
    claim = claimed(queue)
    set_clock.advance(30 * SECOND)
    assert queue.done(claim, None) is None
    assert queue.depth() == (0, 0, 0)


def test_a_renewed_claim_lasts_and_one_that_expired_is_kept_while_nobody_took_it_over(
    queue: WorkQueue, set_clock: SetClock
) -> None:
    queue.notify([A, B])
    first, other = claimed(queue), claimed(queue, B)
    set_clock.advance(5 * SECOND)
    assert queue.renew([first]) == [True]
    set_clock.advance(5 * SECOND)
    assert queue.start(A) == Busy()
    assert queue.overdue(10) == [B]
    assert queue.renew([first, other]) == [True, True]
    assert queue.start(B) == Busy()
    assert queue.done(other, None) is None
    assert queue.depth() == (0, 0, 1)


def test_a_claim_that_was_taken_over_or_ended_or_wiped_cannot_be_renewed(
    queue: WorkQueue, set_clock: SetClock, redis_client: Client
) -> None:
    queue.notify([A])
    stopped = claimed(queue)
    set_clock.advance(6 * SECOND)
    second = claimed(queue)
    assert queue.renew([stopped, second]) == [False, True]
    queue.done(second, None)
    assert queue.renew([stopped, second]) == [False, False]
    queue.notify([A])
    third = claimed(queue)
    redis_client.delete("t:running", "t:claims")
    assert queue.renew([third]) == [False]
    assert redis_client.zcard("t:running") == 0


def test_a_reminder_leaves_a_backoff_alone_and_a_change_does_not(queue: WorkQueue, set_clock: SetClock) -> None:
    queue.notify([A])
    for _ in range(6):
        kick = queue.done(claimed(queue), None, failed=True)
        assert kick is not None
        set_clock.advance(kick.delay)
    kick = queue.done(claimed(queue), None, failed=True)
    assert kick == Kick(A, 32 * SECOND)
    assert queue.remind([A, B]) == [Kick(B, AT_ONCE)]
    assert queue.depth() == (1, 1, 0)
    assert queue.notify([A]) == [Kick(A, AT_ONCE)]
    queue.done(claimed(queue), None)
    assert queue.remind([A]) == [Kick(A, AT_ONCE)]


def test_a_hot_key_starves_nobody(queue: WorkQueue, set_clock: SetClock) -> None:
    """One worker, messages in their order; the hot key changes before and during every pass."""
    others = [Key("ns", f"n{number:02}") for number in range(50)]
    messages = [kick.key for kick in (*queue.notify([A]), *queue.notify(others))]
    served: list[Key] = []
    while len(set(served)) < 51:
        assert len(served) < 200, "somebody waits for ever"
        key = messages.pop(0)
        claim = claimed(queue, key)
        served.append(key)
        for _ in range(3):
            set_clock.advance(timedelta(milliseconds=5))
            messages += [kick.key for kick in queue.notify([A])]
        kick = queue.done(claim, None)
        messages += [kick.key] if kick else []
    assert [key for key in served if key != A] == others
    assert served.count(A) <= 2


def test_the_sweep_serves_in_the_order_of_waiting_beside_a_hot_key(queue: WorkQueue, set_clock: SetClock) -> None:
    others = [Key("ns", f"n{number:02}") for number in range(50)]
    for key in others:
        queue.notify([key])
        set_clock.advance(timedelta(milliseconds=1))
    served: list[Key] = []
    for _ in range(100):
        queue.notify([A])
        set_clock.advance(6 * SECOND)
        for key in queue.overdue(1):
            served.append(key)
            queue.done(claimed(queue, key), None)
    assert [key for key in served if key != A] == others


def test_a_lost_kick_is_found_by_the_sweep(queue: WorkQueue, set_clock: SetClock) -> None:
    queue.notify([A])
    set_clock.advance(timedelta(seconds=4, milliseconds=999))
    assert (queue.overdue(10), queue.notify([A])) == ([], [])
    set_clock.advance(timedelta(milliseconds=1))
    assert queue.overdue(10) == [A]


def test_the_sweep_looks_behind_those_it_kicked_before(queue: WorkQueue, set_clock: SetClock) -> None:
    keys = [Key("ns", f"n{number:04}") for number in range(1500)]
    assert len(queue.notify(keys)) == 1500
    set_clock.advance(6 * SECOND)
    assert queue.overdue(700) == keys[:700]
    assert queue.overdue(700) == keys[700:1400]
    assert queue.overdue(700) == keys[1400:]


def test_failed_passes_back_off_and_a_success_forgets_them(redis_client: Client, set_clock: SetClock) -> None:
    queue = WorkQueue(redis_client, "t", horizon=600 * SECOND, clock=clocks.LUA)
    queue.notify([A])
    waits = []
    for _ in range(12):
        kick = queue.done(claimed(queue), None, failed=True)
        assert kick is not None
        waits.append(kick.delay / SECOND)
        set_clock.advance(kick.delay)
    assert waits == [0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert queue.done(claimed(queue), None) is None
    queue.notify([A])
    assert queue.done(claimed(queue), None, failed=True, jitter=0.1) == Kick(A, timedelta(milliseconds=550))


def test_a_failed_pass_never_drops_an_event(queue: WorkQueue) -> None:
    queue.notify([A])
    claim = claimed(queue)
    queue.notify([A])
    assert queue.done(claim, None, failed=True) == Kick(A, AT_ONCE)


def test_a_forgotten_key_leaves_nothing_behind(queue: WorkQueue, set_clock: SetClock, redis_client: Client) -> None:
    queue.notify([A])
    queue.done(claimed(queue), set_clock.now + SECOND, failed=True)
    queue.forget(A)
    assert redis_client.keys("t:*") == []


def test_a_pass_in_a_wiped_redis_ends_without_a_trace(queue: WorkQueue, redis_client: Client) -> None:
    queue.notify([A])
    claim = claimed(queue)
    redis_client.delete(*[f"t:{name}" for name in ("due", "running", "kicked", "timers", "fails", "claims")])
    assert queue.done(claim, None) is None
    assert redis_client.keys("t:*") == []


def test_a_clock_that_was_set_back_does_not_silence_kicks(queue: WorkQueue, set_clock: SetClock) -> None:
    queue.notify([A])
    set_clock.advance(timedelta(hours=-1))
    assert queue.notify([A]) == [Kick(A, AT_ONCE)]


def test_now_is_the_time_of_redis(redis_client: Client) -> None:
    queue = WorkQueue(redis_client, "t", horizon=60 * SECOND)
    times = [_time_of(redis_client), queue.now(), queue.now(), _time_of(redis_client)]
    assert times[1].utcoffset() == timedelta()
    assert times == sorted(times)


def _time_of(client: Client) -> datetime:
    seconds, microseconds = client.time()
    return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)
