"""Many threads on the clock of Redis itself: one winner, growing fences, one pass of a key at a time."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from models.hold import Busy, GateClosed, Mine, Owner
from models.keys import Key
from tasks.redis_scripts.connection import Client
from tasks.redis_scripts.hold import Holds
from tasks.redis_scripts.queue import Claim, WorkQueue

THREADS, ROUNDS = 20, 200
BORN = datetime(2026, 5, 1, tzinfo=UTC)
OWNERS = [Owner(f"uid-{number:02}", Key("ns", f"n{number:02}"), BORN) for number in range(THREADS)]


def all_at_once(act: Callable[[Owner], object]) -> None:
    """Let every owner act in a thread of its own; what a thread raises is raised here."""
    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(act, owner) for owner in OWNERS]:
            done.result()


def wait_for(seen: Counter[type], kind: type, more: int) -> None:
    """Wait until so many more of a kind were seen."""
    deadline, enough = time.monotonic() + 60, seen[kind] + more
    while seen[kind] < enough:
        assert time.monotonic() < deadline, f"no {kind.__name__} any more"
        time.sleep(0.001)


@pytest.mark.timeout(120)
def test_each_round_has_one_winner(redis_client: Client) -> None:
    holds = Holds(redis_client, "t")
    holds.open_gate()
    start = threading.Barrier(THREADS)
    winners: dict[int, list[int]] = {number: [] for number in range(ROUNDS)}

    def race(owner: Owner) -> None:
        for number in range(ROUNDS):
            start.wait()
            view = holds.take(f"ns/kind/{number}", owner)
            if isinstance(view, Mine):
                winners[number].append(view.fence)
            else:
                assert isinstance(view, Busy)

    all_at_once(race)
    fences = [fence for number in range(ROUNDS) for fence in winners[number]]
    assert [len(won) for won in winners.values()] == [1] * ROUNDS
    assert fences == sorted(set(fences))
    assert all(row.waiting == THREADS - 1 for row in holds.all())


@pytest.mark.timeout(120)
def test_a_line_serves_everybody_once_in_its_order(redis_client: Client) -> None:
    holds = Holds(redis_client, "t")
    holds.open_gate()
    first = holds.take("node/one", OWNERS[0])
    assert isinstance(first, Mine)
    joined = threading.Barrier(THREADS)
    served: list[tuple[int, str]] = []

    def wait_in_line(owner: Owner) -> None:
        holds.take("node/one", owner)
        joined.wait()
        if owner == OWNERS[0]:
            holds.release("node/one", owner.uid, first.fence, clean=True)
            return
        while not isinstance(view := holds.take("node/one", owner), Mine):
            assert isinstance(view, Busy)
        served.append((view.fence, owner.uid))
        holds.release("node/one", owner.uid, view.fence, clean=True)

    all_at_once(wait_in_line)
    assert [uid for _, uid in sorted(served)] == [owner.uid for owner in OWNERS[1:]]


@pytest.mark.timeout(120)
def test_fences_grow_when_redis_is_emptied_again_and_again(redis_client: Client) -> None:
    """Threads take and release while the server is emptied; a restorer puts the living holders back and opens."""
    holds = Holds(redis_client, "t")
    holds.open_gate()
    lock, stop = threading.Lock(), threading.Event()
    living: dict[str, tuple[Owner, Mine]] = {}
    taken: dict[str, list[int]] = {f"ns/kind/{number}": [] for number in range(5)}
    seen: Counter[type] = Counter()

    def work(owner: Owner) -> None:
        if owner == OWNERS[-1]:
            try:
                empty_and_restore()
            finally:
                stop.set()
            return
        target = f"ns/kind/{OWNERS.index(owner) % 5}"
        while not stop.is_set():
            with lock:  # what the API server does for us: a holder is recorded before anybody restores from the record
                view = holds.take(target, owner)
                seen[type(view)] += 1
                if isinstance(view, Mine):
                    assert living.setdefault(target, (owner, view)) == (owner, view), "two holders of one target"
                    taken[target].append(view.fence)
                    if len(taken[target]) % 3 == 0:
                        holds.release(target, owner.uid, view.fence, clean=True)
                        del living[target]

    def empty_and_restore() -> None:
        for _ in range(30):
            with lock:
                redis_client.flushall()
            wait_for(seen, GateClosed, 1)
            with lock:
                restoration = holds.begin_restore()
                for target, (owner, mine) in living.items():
                    assert holds.restore(target, owner, mine.fence, mine.since)
                assert holds.open_gate(restoration)
            wait_for(seen, Mine, 20)

    all_at_once(work)
    for fences in taken.values():
        assert fences == sorted(fences)
    assert seen[Mine] > 600


@pytest.mark.timeout(120)
def test_a_key_has_one_pass_at_a_time_and_no_notification_is_missed(redis_client: Client) -> None:
    """Threads change a number and notify; whoever gets the pass must, in the end, have seen the last number."""
    queue = WorkQueue(redis_client, "t", horizon=timedelta(minutes=1), claim=timedelta(minutes=10))
    keys = [Key("ns", name) for name in "abc"]
    changed, seen, running = Counter[Key](), Counter[Key](), Counter[Key]()
    passes, guard = Counter[Key](), threading.Lock()

    def make_pass(key: Key) -> None:
        claim = queue.start(key)
        if not isinstance(claim, Claim):
            return
        with guard:
            running[key] += 1
            assert running[key] == 1, "two passes of one key"
            passes[key] += 1
        seen[key] = changed[key]
        with guard:
            running[key] -= 1
        if queue.done(claim, None):
            make_pass(key)

    def work(owner: Owner) -> None:
        for number in range(ROUNDS):
            key = keys[number % len(keys)]
            with guard:
                changed[key] += 1
            for kick in queue.notify([key]):
                make_pass(kick.key)

    all_at_once(work)
    assert seen == changed
    assert queue.depth() == (0, 0, 0)
