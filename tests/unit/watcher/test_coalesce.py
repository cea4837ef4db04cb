"""Nothing lost, nothing twice in a burst, live keys first."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

import pytest

from models.errors import Transient
from models.keys import Key
from tests import waiting
from watcher.coalesce import BATCH, DirtyKeys, Publisher

ONE, TWO = Key("shop", "one"), Key("shop", "two")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def dirty(clock: Clock) -> DirtyKeys:
    return DirtyKeys(spacing=0.025, monotonic=clock)


def test_a_key_is_taken_once_however_often_it_was_added(dirty: DirtyKeys) -> None:
    for _ in range(1000):
        dirty.add(ONE, True)
    assert dirty.take(0) == ([ONE], True)
    assert dirty.take(0) == ([], True)


def test_live_keys_go_before_listed_ones(dirty: DirtyKeys) -> None:
    dirty.add(ONE, False)
    dirty.add(TWO, True)
    assert dirty.take(0) == ([TWO], True)
    assert dirty.take(0) == ([ONE], False)


def test_a_listed_key_that_comes_alive_is_live_and_stays_so(dirty: DirtyKeys) -> None:
    dirty.add(ONE, False)
    dirty.add(ONE, True)
    dirty.add(ONE, False)
    assert dirty.take(0) == ([ONE], True)
    assert len(dirty) == 0


def test_a_key_published_a_moment_ago_waits_and_others_do_not(dirty: DirtyKeys, clock: Clock) -> None:
    dirty.add(ONE, True)
    dirty.take(0)
    dirty.add(ONE, True)
    dirty.add(TWO, True)
    assert dirty.take(0) == ([TWO], True)
    assert dirty.take(0) == ([], True)
    clock.now += 0.03
    assert dirty.take(0) == ([ONE], True)


@pytest.mark.parametrize("seconds", [0.001, 0.2, 1.5, 4.0])
def test_a_burst_of_a_thousand_changes_costs_three_publishes_and_the_last_change_is_among_them(
    dirty: DirtyKeys, clock: Clock, seconds: float
) -> None:
    taken = []
    for _ in range(1000):
        dirty.add(ONE, True)
        clock.now += seconds / 1000
        if dirty.take(0)[0]:
            taken.append(clock.now)
    last = clock.now
    for _ in range(1000):
        clock.now += 0.01
        if dirty.take(0)[0]:
            taken.append(clock.now)
    assert len(taken) <= 3, taken
    assert last <= taken[-1] + seconds / 1000 <= last + 0.2
    assert len(dirty) == 0


def test_a_key_that_is_never_quiet_is_published_every_five_seconds(dirty: DirtyKeys, clock: Clock) -> None:
    taken = 0
    for _ in range(2000):
        dirty.add(ONE, True)
        taken += bool(dirty.take(0)[0])
        clock.now += 0.01
    assert 5 <= taken <= 6


def test_a_change_a_second_is_published_at_once_each_time(dirty: DirtyKeys, clock: Clock) -> None:
    for _ in range(10):
        dirty.add(ONE, True)
        assert dirty.take(0)[0] == [ONE]
        clock.now += 1.1
    assert dirty.take(0)[0] == []
    assert not dirty._recent


def test_a_hot_key_does_not_hold_up_listed_ones(dirty: DirtyKeys) -> None:
    dirty.add(ONE, True)
    dirty.take(0)
    dirty.add(ONE, True)
    dirty.add(TWO, False)
    assert dirty.take(0) == ([TWO], False)


def test_keys_given_back_are_dirty_at_once(dirty: DirtyKeys) -> None:
    dirty.add(ONE, True)
    keys, hot = dirty.take(0)
    dirty.give_back(keys, hot)
    assert dirty.take(0) == ([ONE], True)


def test_a_batch_has_a_limit(dirty: DirtyKeys) -> None:
    for number in range(BATCH + 1):
        dirty.add(Key("shop", str(number)), False)
    assert len(dirty.take(0)[0]) == BATCH
    assert len(dirty.take(0)[0]) == 1


class Sink:
    """Records what was published; refuses while `refusals` are left."""

    def __init__(self) -> None:
        self.published: list[tuple[list[Key], bool]] = []
        self.resyncs = 0
        self.refusals = 0
        self.error: Exception = Transient("Redis is away")
        self.leading = True
        self.asked = 0

    def leads(self) -> bool:
        self.asked += 1
        return self.leading

    def publish(self, keys: Sequence[Key], hot: bool) -> None:
        self._refuse()
        self.published.append((list(keys), hot))

    def resync(self) -> None:
        self._refuse()
        self.resyncs += 1

    def _refuse(self) -> None:
        if self.refusals:
            self.refusals -= 1
            raise self.error


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def running(sink: Sink) -> Iterator[tuple[DirtyKeys, Publisher]]:
    dirty = DirtyKeys()
    publisher = Publisher(dirty, sink.publish, sink.resync, sink.leads, lambda: 0.0)
    thread = threading.Thread(target=publisher.run, daemon=True)
    thread.start()
    yield dirty, publisher
    publisher.stop()
    thread.join(60)
    assert not thread.is_alive()


def until(condition: Callable[[], object]) -> None:
    waiting.until(condition, 60, "what the other thread does", every=0.005)


@pytest.mark.parametrize("error", [Transient("away", timedelta(seconds=0.01)), RuntimeError("a defect")])
def test_nothing_is_lost_while_redis_is_away(
    running: tuple[DirtyKeys, Publisher], sink: Sink, error: Exception
) -> None:
    dirty, _ = running
    sink.error, sink.refusals = error, 4
    dirty.add(ONE, True)
    dirty.add(TWO, True)
    until(lambda: sum(len(keys) for keys, _ in sink.published) == 2)
    assert {key for keys, _ in sink.published for key in keys} == {ONE, TWO}


def test_a_burst_is_published_once_or_twice(running: tuple[DirtyKeys, Publisher], sink: Sink) -> None:
    dirty, _ = running
    start = time.monotonic()
    for _ in range(1000):
        dirty.add(ONE, True)
    spent = time.monotonic() - start
    until(lambda: sink.published and not len(dirty))
    assert len(sink.published) <= 2 + spent / 0.025


def test_a_resync_is_asked_for_until_it_is_taken_and_at_once(running: tuple[DirtyKeys, Publisher], sink: Sink) -> None:
    _, publisher = running
    took = []
    for turn in range(1, 6):
        sink.refusals = 3
        start = time.monotonic()
        publisher.request_resync()
        until(lambda turn=turn: sink.resyncs == turn)  # type: ignore[misc]
        took.append(time.monotonic() - start)
        if took[-1] < 0.9:
            break
    assert min(took) < 0.9, "at once; later than that once may be the machine's fault"
    assert sink.resyncs == len(took)


def test_resync_wished_for_while_one_is_being_sent_is_sent_too() -> None:
    sent: list[int] = []

    def send() -> None:
        sent.append(1)
        if len(sent) == 1:
            publisher.request_resync()
        else:
            publisher.stop()

    publisher = Publisher(DirtyKeys(), lambda keys, hot: None, send, lambda: True, lambda: 0.0)
    publisher.request_resync()
    thread = threading.Thread(target=publisher.run)
    thread.start()
    thread.join(60)
    publisher.stop()
    assert len(sent) == 2


def test_who_does_not_lead_publishes_nothing(running: tuple[DirtyKeys, Publisher], sink: Sink) -> None:
    dirty, publisher = running
    sink.leading = False
    dirty.add(ONE, True)
    publisher.request_resync()
    until(lambda: not len(dirty))
    # Asked once more for what it has taken, if it was not yet, and once when it goes round.
    asked = sink.asked
    dirty.wake()
    until(lambda: sink.asked > asked + 1)
    assert (sink.published, sink.resyncs) == ([], 0)
    sink.leading = True
    dirty.wake()
    until(lambda: sink.resyncs)
    assert sink.published == []


def test_what_is_dirty_at_the_stop_still_goes() -> None:
    sink, dirty = Sink(), DirtyKeys()
    publisher = Publisher(dirty, sink.publish, sink.resync, lambda: True, lambda: 0.0)
    dirty.add(ONE, True)
    dirty.add(TWO, False)
    publisher.stop()
    publisher.run()
    assert sink.published == [([ONE], True), ([TWO], False)]
