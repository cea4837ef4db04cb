"""J6 to J8: a worker dies in mid-run, Redis comes back empty, DataStorage is away."""

from __future__ import annotations

import re

import httpx
import pytest
import redis

from cli.local import Stack
from models.errors import Transient
from tasks.redis_scripts.outbox import Outbox
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
        terminal.reaches(name, "Completed")
    for name in names:
        assert len(terminal.runs_of(name)) <= 1
        assert terminal.told(name) == ["started", "completed"]
        assert terminal.events(name).count("PipelineRunCreated") == 1


def test_redis_that_comes_back_empty_loses_nothing(terminal: Terminal, stack: Stack) -> None:
    target = "shop/deployment/kept"
    terminal.declare("runs", target, "outcome-hang")
    uid = terminal.reaches("runs", "Running") and terminal.runs_of("runs")[0]["metadata"]["uid"]
    terminal.declare("waits", target)
    terminal.shows("waits", "reason", "TargetResourceBusy")
    stack.stop("redis")
    told = terminal.wfe("why", "waits")
    assert "Redis does not answer" in told
    terminal.declare("new", "shop/deployment/new")
    stack.start("redis")
    terminal.reaches("new", "Completed")
    terminal.succeed("runs")
    terminal.reaches("runs", "Completed")
    second = terminal.reaches("waits", "Completed")
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
    until(lambda: not _names(terminal), 100, "all are gone", every=0.5)
    until(lambda: terminal.runs() == [], 60, "their runs are gone", every=0.5)
    assert "No target is held." in terminal.wfe("locks")
    terminal.declare("next", target)
    terminal.reaches("next", "Completed")


def _names(terminal: Terminal) -> set[str]:
    return set(terminal.kubectl("get", "wfe", "-o", "jsonpath={.items[*].metadata.name}").split())


def test_datastorage_is_away_and_redis_is_lost_meanwhile(terminal: Terminal, stack: Stack) -> None:
    """J8: executions go on, what waits is shown; the buffer that was lost is derived again, the same to the letter."""
    names = [f"kept-{number}" for number in range(3)]
    client = redis.Redis.from_url(stack.redis_url)
    outbox = Outbox(client, "wfe")
    stack.stop("datastorage")
    try:
        for name in names:
            terminal.declare(name, f"shop/deployment/{name}")
        for name in names:
            terminal.reaches(name, "Completed")
        before = until(lambda: _waiting(outbox, 6), 60, "six audit events wait")
        audit = {name: _audit_recorded(terminal, name) for name in names}
        assert set(audit.values()) == {("False", "AuditPending")}
        until(lambda: _buffered(stack) == 6, 60, "the metric shows what waits")
        shown = until(lambda: _not_well(terminal), 60, "status names the trouble", every=0.5)
        assert re.search(r"Outbox +NOT WELL +6 audit events wait.* times in a row: DataStorage did not answer", shown)

        stack.restart("redis")
        after = until(lambda: _waiting(outbox, 6), 90, "what was lost is derived again")
        assert after == before
    finally:
        stack.start("datastorage")
    for name in names:
        assert terminal.told(name) == ["started", "completed"]
        assert _audit_recorded(terminal, name) == ("True", "AuditSucceeded")
    until(lambda: _buffered(stack) == 0, 60, "the metric shows that nothing waits")
    assert "OK: " in terminal.wfe("audit", "verify")
    client.close()


def _waiting(outbox: Outbox, events: int) -> dict[str, bytes]:
    """Return what waits in the outbox, once there are so many."""
    try:
        waiting = {item.event_id: item.body for item in outbox.take(100)}
    except Transient:
        return {}
    return waiting if len(waiting) == events else {}


def _audit_recorded(terminal: Terminal, name: str) -> tuple[str, str]:
    conditions = terminal.status(name)["conditions"]
    return next((each["status"], each["reason"]) for each in conditions if each["type"] == "AuditRecorded")


def _buffered(stack: Stack) -> float:
    text = httpx.get(stack.metrics_urls["watcher"]).text
    found = re.search(r"^audit_buffer_size\{.*\} (\S+)$", text, re.MULTILINE)
    return float(found.group(1)) if found else -1


def _not_well(terminal: Terminal) -> str:
    shown = terminal.wfe("status", check=False)
    return shown if "times in a row" in shown and re.search("Outbox +NOT WELL", shown) else ""
