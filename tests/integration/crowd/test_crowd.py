"""An execution that wants more than its share gets its share, and all others go on: one stack, real workers."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cli.local import Stack
from devcluster import Cluster as LocalCluster
from models.keys import Key
from tests.integration.crowd.conftest import passes
from tests.integration.crowd.mischief import REFUSAL, change, due_without_end, refused_writes, status_refused
from tests.terminal import Terminal
from tests.waiting import until

pytestmark = pytest.mark.timeout(400)

CHANGES, CONNECTIONS = 1000, 2
OTHERS = 5
END = 12
"""Passes that an execution takes besides: from its start, or an ask to cancel it, to its acknowledged end."""

REFUSALS = 5
FIRST_WAIT, JITTER = 0.5, 0.1
"""tasks/reconciling.py: TRY_AGAIN, and by how much of itself a wait may be shorter. Seconds."""


def test_a_thousand_changes_of_one_execution_cost_a_few_passes_and_the_last_is_seen(
    stack: Stack, terminal: Terminal
) -> None:
    key, times = Key("default", "burst"), CHANGES // CONNECTIONS
    terminal.declare("burst", "crowd/deployment/burst", "outcome-hang")
    terminal.reaches("burst", "Running", 60)
    before, began = passes(stack), time.monotonic()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        changes = [pool.submit(change, stack, key, connection, times) for connection in range(CONNECTIONS)]
    took = time.monotonic() - began
    for each in changes:
        each.result()
    terminal.wfe("cancel", "burst", "--reason", "the last of the changes")
    terminal.reaches("burst", "Failed", 60)
    assert terminal.told("burst") == ["started", "cancelled", "failed"]
    made = passes(stack) - before
    # Three for a burst; one that drags on may look like several, each after a silence.
    assert made <= 3 + 3 * took + END, f"{made} passes for {CHANGES} changes in {took:.1f} s"


def test_one_that_is_due_without_end_keeps_no_other_waiting(stack: Stack, terminal: Terminal) -> None:
    terminal.declare("hot", "crowd/deployment/hot", "outcome-hang")
    terminal.reaches("hot", "Running", 60)
    cold, names = passes(stack), [f"other-{number}" for number in range(OTHERS)]
    with due_without_end(stack, Key("default", "hot")):
        until(lambda: passes(stack) > cold + 50, 60, "it is hot")
        before = passes(stack)
        for name in names:
            terminal.declare(name, f"crowd/deployment/{name}")
        for name in names:
            terminal.reaches(name, "Completed", 60)
        until(lambda: passes(stack) > before + OTHERS * END + 50, 60, "it is hot still")
    assert terminal.status("hot")["phase"] == "Running"
    assert len(terminal.runs_of("hot")) == 1


def test_status_that_is_never_taken_costs_growing_waits_and_nobody_else(
    stack: Stack, terminal: Terminal, api_cluster: LocalCluster
) -> None:
    assert api_cluster.audit_log is not None
    log, after, pids = api_cluster.audit_log, api_cluster.audit_log.stat().st_size, stack.pids
    terminal.declare("probe", "crowd/deployment/probe")
    terminal.reaches("probe", "Completed", 60)
    assert terminal.told("probe") == ["started", "completed"]
    with status_refused(terminal, "poison", "probe"):
        terminal.declare("poison", "crowd/deployment/poison", "outcome-hang")
        until(lambda: refused_writes(log, after, "poison"), 60, "a first refusal", every=0.2)
        for name in ("other-0", "other-1"):
            terminal.declare(name, f"crowd/deployment/{name}")
            terminal.reaches(name, "Completed", 60)
        until(lambda: len(refused_writes(log, after, "poison")) >= REFUSALS, 90, f"{REFUSALS} refusals", every=0.5)
        refused = refused_writes(log, after, "poison")[:REFUSALS]
        waits = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(refused)]
        assert all(wait >= FIRST_WAIT * (1 - JITTER) * 2**number for number, wait in enumerate(waits)), waits
        assert terminal.events("poison") == ["WorkflowFailed"]
        assert REFUSAL in terminal.kubectl("get", "events", "--field-selector", "involvedObject.name=poison")
        assert len(terminal.runs_of("poison")) == 1
        assert terminal.status("poison") == {"phase": "Pending"}
        assert stack.pids == pids, "no worker was lost"
    numbers = itertools.count()
    until(lambda: _nudged(terminal, "poison", next(numbers)) == "Running", 60, "it goes on", every=1)
    assert len(terminal.runs_of("poison")) == 1


def _nudged(terminal: Terminal, name: str, number: int) -> str:
    """Touch an execution, as who does not want to wait for its next try; return its phase."""
    terminal.kubectl("annotate", "wfe", name, "--overwrite", f"kubernaut.ai/note={number}")
    return str(terminal.status(name)["phase"])
