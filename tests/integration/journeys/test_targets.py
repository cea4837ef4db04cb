"""J1 to J3: one remediation, a second one for the same target, the cooldown between them."""

from __future__ import annotations

import re

import pytest

from cli.local import Stack
from tests.terminal import Terminal
from tests.waiting import until

pytestmark = pytest.mark.timeout(300)
TARGET = "shop/deployment/cart"


def test_one_remediation_from_apply_to_its_story(terminal: Terminal) -> None:
    terminal.declare("before", "malformed")
    phases: list[str] = []
    with terminal.watching("one", phases):
        terminal.declare("one", TARGET, "outcome-success-500ms")
        terminal.kubectl("wait", "wfe/one", "--for=jsonpath={.status.phase}=Completed", "--timeout=80s")
        until(lambda: "LockReleased" in terminal.events("one"), 90, "the target is free again")
    assert phases == ["Pending", "Running", "Completed"]
    assert terminal.events("one") == ["PipelineRunCreated", "WorkflowCompleted", "LockReleased"]
    assert terminal.told("one") == ["started", "completed"]
    assert "No target is held." in terminal.wfe("locks")


def test_second_request_waits_in_line_and_starts_by_itself(terminal: Terminal) -> None:
    terminal.declare("first", TARGET, "outcome-hang")
    terminal.reaches("first", "Running")
    terminal.declare("second", TARGET)
    waits = terminal.shows("second", "reason", "TargetResourceBusy")
    assert (waits["queue"]["position"], waits["queue"]["holder"]) == (1, "default/first")
    locked = next(each for each in waits["conditions"] if each["type"] == "ResourceLocked")
    assert re.match(r"position 1, held by default/first since \S+", locked["message"])
    assert "number 1 in line for shop/deployment/cart, held by default/first" in terminal.wfe("why", "second")
    rows = terminal.read("queue")
    assert [(row["position"], row["execution"]) for row in rows] == [(0, "default/first"), (1, "default/second")]
    lock = terminal.read("locks")[0]
    held = (lock["target"], lock["holder"], lock["doing"], lock["waiting"], lock["fence"])
    assert held == (TARGET, "default/first", "Running", 1, terminal.status("first")["lock"]["fence"])
    terminal.succeed("first")
    rests = terminal.shows("second", "reason", "RecentlyRemediated")
    assert "rests until" in next(c["message"] for c in rests["conditions"] if c["type"] == "ResourceLocked")
    assert terminal.read("locks")[0]["doing"] == "Resting"
    ended, second = terminal.status("first"), terminal.reaches("second", "Completed")
    assert second["startTime"] > ended["completionTime"]
    assert not any(each["type"] == "ResourceLocked" for each in second["conditions"])
    assert terminal.told("second") == ["queued", "started", "completed"]


def test_who_does_not_want_to_wait_is_skipped_or_fails(terminal: Terminal) -> None:
    terminal.declare("holder", TARGET, "outcome-hang")
    terminal.reaches("holder", "Running")
    terminal.declare("skips", TARGET, executionConfig={"concurrencyPolicy": "Skip"})
    terminal.declare("loses", TARGET, executionConfig={"concurrencyPolicy": "Fail"})
    skipped = terminal.reaches("skips", "Skipped")
    assert (skipped["reason"], skipped["skipDetails"]["reason"]) == ("ResourceBusy", "ResourceBusy")
    assert skipped["skipDetails"]["conflictingWorkflow"]["name"] == "holder"
    assert "it was skipped (ResourceBusy)" in terminal.wfe("why", "skips")
    assert "Holder:         holder (w)" in terminal.wfe("describe", "skips")
    lost = terminal.reaches("loses", "Failed")["failureDetails"]["message"]
    for word in ("Race condition", "PipelineRun", "already exists"):
        assert word in lost
    terminal.succeed("holder")
    terminal.reaches("holder", "Completed")
    terminal.declare("late", TARGET, executionConfig={"concurrencyPolicy": "Skip"})
    late = terminal.reaches("late", "Skipped")
    assert late["skipDetails"]["reason"] == "RecentlyRemediated"
    assert late["skipDetails"]["recentRemediation"]["name"] == "holder"
    assert (terminal.told("skips"), terminal.told("late")) == (["skipped"], ["skipped"])


def test_a_cooldown_is_not_moved_by_restarts(terminal: Terminal, stack: Stack) -> None:
    terminal.declare("before", TARGET)
    first = terminal.reaches("before", "Completed")
    terminal.declare("after", TARGET)
    for part in ("redis", "watcher", "beat", *stack.workers):
        stack.stop(part)
    for part in ("redis", "watcher", "beat", *stack.workers):
        stack.start(part)
    second = terminal.reaches("after", "Completed")
    assert terminal.status("before")["completionTime"] == first["completionTime"]
    assert second["startTime"] >= first["completionTime"]
    assert len(terminal.runs_of("after")) == 1
    assert terminal.told("before") == ["started", "completed"]
