"""What a user, a worker and Tekton do at a real API server, and which of it becomes a pass."""

from __future__ import annotations

import threading
import time

from devcluster.cluster import Cluster as LocalCluster
from models.names import FINALIZER
from tests.integration.watcher.conftest import Started, User, rounds, start_watcher, until


def test_a_new_execution_is_published_at_once_and_our_own_writes_are_not(watching: Started, user: User) -> None:
    key = user.declare()
    until(lambda: (key, True) in watching.published.keys)
    user.change(key, {"metadata": {"finalizers": [FINALIZER]}})
    user.change(key, {"status": {"phase": "Pending"}}, "status")
    user.change(key, {"metadata": {"labels": {"seen": "yes"}}})
    other = user.declare()
    until(lambda: (other, True) in watching.published.keys)
    assert watching.published.count(key) == 1
    user.change(key, {"metadata": {"finalizers": None}})
    until(lambda: watching.published.count(key) == 2)


def test_a_cancel_and_a_deletion_are_published(watching: Started, user: User) -> None:
    key = user.declare()
    until(lambda: watching.published.count(key) == 1)
    user.change(key, {"metadata": {"annotations": {"kubernaut.ai/cancel": "wrong target"}}})
    until(lambda: watching.published.count(key) == 2)
    user.change(key, {"metadata": {"finalizers": [FINALIZER]}})
    user.delete(key)
    until(lambda: watching.published.count(key) == 3)
    user.change(key, {"metadata": {"finalizers": None}})
    until(lambda: watching.published.count(key) == 4)


def test_a_run_speaks_for_its_execution(watching: Started, user: User) -> None:
    key = user.declare()
    until(lambda: watching.published.count(key) == 1)
    run = user.create_run(key)
    for status, reason in (("Unknown", "Started"), ("Unknown", "Running"), ("True", "Succeeded")):
        user.say(run, status, reason)
    until(lambda: watching.published.count(key) == 2)
    user.delete_run(run)
    until(lambda: watching.published.count(key) == 3)


def test_a_burst_on_one_execution_is_three_publishes(watching: Started, user: User) -> None:
    for _ in rounds():
        published, spent = _burst(watching, user)
        assert published <= 1 + 3 + 3 * spent, "each pause in it may seem its end"
        if published <= 1 + 3 + spent / 2:
            break
    assert published <= 1 + 3 + spent / 2


def _burst(watching: Started, user: User) -> tuple[int, float]:
    """Change a new execution 400 times; return how often it was published, and the seconds it took."""
    key = user.declare()
    until(lambda: watching.published.count(key) == 1)
    start = time.monotonic()

    def shout(part: int) -> None:
        for number in range(100):
            user.change(key, {"metadata": {"annotations": {f"kubernaut.ai/part-{part}": str(number)}}})

    threads = [threading.Thread(target=shout, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    spent = time.monotonic() - start
    other = user.declare()
    until(lambda: watching.published.count(other) == 1)
    until(lambda: not len(watching.watcher._dirty))
    return watching.published.count(key), spent


def test_what_was_there_before_the_watcher_is_published_cold(local: LocalCluster, user: User) -> None:
    waiting, ended = user.declare(), user.declare()
    user.change(ended, {"status": {"phase": "Failed"}}, "status")
    second = start_watcher(local.kubeconfig)
    try:
        until(lambda: second.published.count(waiting))
        until(lambda: all(state.listed for state in second.watcher.states))
        assert (waiting, False) in second.published.keys
        assert second.published.count(ended) == 0
        assert second.published.resyncs == 1
    finally:
        second.stop()


def test_it_stops_soon(watching: Started) -> None:
    watching.stop()
