"""J6 and J7: a worker dies in mid-run, Redis comes back empty."""

from __future__ import annotations

import pytest

from cli.local import Stack
from tests.terminal import Terminal
from tests.waiting import until

pytestmark = pytest.mark.timeout(300)


def test_another_worker_goes_on(terminal: Terminal, stack: Stack) -> None:
    names = [f"mid-{number}" for number in range(4)]
    for name in names:
        terminal.declare(name, f"shop/deployment/{name}", "outcome-success-5s")
    for name in names:
        terminal.reaches(name, "Running")
    stack.kill9("worker-1")
    for name in names:
        terminal.reaches(name, "Completed", 30)
    for name in names:
        assert len(terminal.runs_of(name)) <= 1
        assert terminal.told(name) == ["started", "completed"]
        assert terminal.events(name).count("PipelineRunCreated") == 1


def test_redis_that_comes_back_empty_loses_nothing(terminal: Terminal, stack: Stack) -> None:
    target = "shop/deployment/kept"
    terminal.declare("runs", target, "outcome-success-20s")
    uid = terminal.reaches("runs", "Running") and terminal.runs_of("runs")[0]["metadata"]["uid"]
    terminal.declare("waits", target)
    terminal.shows("waits", "reason", "TargetResourceBusy")
    stack.stop("redis")
    told = terminal.wfe("why", "waits")
    assert "Redis does not answer" in told
    terminal.declare("new", "shop/deployment/new")
    stack.start("redis")
    terminal.reaches("new", "Completed", 60)
    terminal.reaches("runs", "Completed", 60)
    second = terminal.reaches("waits", "Completed", 60)
    assert second["startTime"] > terminal.status("runs")["completionTime"]
    assert [run["metadata"]["uid"] for run in terminal.runs_of("runs")] in ([], [uid])
    for name, told_ in (("runs", ["started", "completed"]), ("waits", ["queued", "started", "completed"])):
        assert terminal.told(name) == told_


def test_deletions_end_within_a_minute_of_redis_coming_back(terminal: Terminal, stack: Stack) -> None:
    target = "shop/deployment/left"
    terminal.declare("rests", "shop/deployment/rests")
    terminal.declare("broke", "shop/deployment/broke", "outcome-exit-3-200ms")
    terminal.declare("runs", target, "outcome-hang")
    terminal.reaches("runs", "Running")
    terminal.declare("waits", target)
    terminal.shows("waits", "reason", "TargetResourceBusy")
    terminal.reaches("rests", "Completed")
    terminal.reaches("broke", "Failed")
    stack.stop("redis")
    try:
        terminal.declare("new", "shop/deployment/fresh")
        terminal.kubectl("delete", "wfe", "--all", "--wait=false")
        assert {"rests", "broke", "runs", "waits"} <= _names(terminal)
    finally:
        stack.start("redis")
    until(lambda: not _names(terminal), 60, "all are gone", every=0.5)
    until(lambda: terminal.runs() == [], 20, "their runs are gone", every=0.5)
    assert "No target is held." in terminal.wfe("locks")
    terminal.declare("next", target)
    terminal.reaches("next", "Completed")


def _names(terminal: Terminal) -> set[str]:
    return set(terminal.kubectl("get", "wfe", "-o", "jsonpath={.items[*].metadata.name}").split())
