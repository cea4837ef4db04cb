"""An execution that changes a thousand times costs a few passes; one that is due without end keeps nobody waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest
from prometheus_client import CollectorRegistry

from cli.local import Stack
from models.errors import Conflict
from models.keys import Key
from models.settings import parse_settings
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from tasks.app import build_app
from tasks.parts import build_parts
from tests.integration.crowd.conftest import passes
from tests.terminal import Terminal
from tests.waiting import until

pytestmark = pytest.mark.timeout(400)

CHANGES, CONNECTIONS = 1000, 2
OTHERS = 5
END = 12
"""Passes that an execution takes besides: from its start, or an ask to cancel it, to its acknowledged end."""


def _change(stack: Stack, key: Key, connection: int) -> None:
    cluster = Cluster.connect(stack.kubeconfig)
    for number in range(CHANGES // CONNECTIONS):
        note = {f"kubernaut.ai/note-{connection}": str(number)}
        with suppress(Conflict):  # a server under load may leave it to us to say it again
            cluster.merge_patch(paths.execution(key), {"metadata": {"annotations": note}})


def test_a_thousand_changes_of_one_execution_cost_a_few_passes_and_the_last_is_seen(
    stack: Stack, terminal: Terminal
) -> None:
    terminal.declare("burst", "crowd/deployment/burst", "outcome-hang")
    terminal.reaches("burst", "Running", 60)
    before, began = passes(stack), time.monotonic()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        changes = [pool.submit(_change, stack, Key("default", "burst"), number) for number in range(CONNECTIONS)]
    took = time.monotonic() - began
    for change in changes:
        change.result()
    terminal.wfe("cancel", "burst", "--reason", "the last of the changes")
    terminal.reaches("burst", "Failed", 60)
    assert terminal.told("burst") == ["started", "cancelled", "failed"]
    made = passes(stack) - before
    # Three for a burst; one that drags on may look like several, each after a silence.
    assert made <= 3 + 3 * took + END, f"{made} passes for {CHANGES} changes in {took:.1f} s"


@contextmanager
def _due_without_end(stack: Stack, key: Key) -> Iterator[None]:
    """Ask for passes of a key as fast as Redis takes it, as a watcher would that gathered nothing."""
    document = {"kubernetes": {"kubeconfig": stack.kubeconfig}, "redis": {"url": stack.redis_url}}
    settings = parse_settings(document, {}, {})
    publisher = build_parts(settings, build_app(settings), CollectorRegistry()).publisher
    stopping = threading.Event()

    def ask() -> None:
        while not stopping.is_set():
            publisher.wake([key])

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(20)
        assert not thread.is_alive()


def test_one_that_is_due_without_end_keeps_no_other_waiting(stack: Stack, terminal: Terminal) -> None:
    terminal.declare("hot", "crowd/deployment/hot", "outcome-hang")
    terminal.reaches("hot", "Running", 60)
    cold, names = passes(stack), [f"other-{number}" for number in range(OTHERS)]
    with _due_without_end(stack, Key("default", "hot")):
        until(lambda: passes(stack) > cold + 50, 60, "it is hot")
        before = passes(stack)
        for name in names:
            terminal.declare(name, f"crowd/deployment/{name}")
        for name in names:
            terminal.reaches(name, "Completed", 60)
        until(lambda: passes(stack) > before + OTHERS * END + 50, 60, "it is hot still")
    assert terminal.status("hot")["phase"] == "Running"
    assert len(terminal.runs_of("hot")) == 1
