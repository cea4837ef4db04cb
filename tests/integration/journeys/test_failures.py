"""J4, J5 and J9: failures before any task ran, failures half-way, a run that somebody deletes."""

from __future__ import annotations

import json
import re
from datetime import datetime

import pytest

from cli.local import Stack
from tests.terminal import RUNS, Terminal
from tests.waiting import until

pytestmark = pytest.mark.timeout(300)
TARGET = "shop/deployment/cart"


def test_failures_before_any_task_back_off_until_the_limit(terminal: Terminal, stack: Stack) -> None:
    terminal.declare("hopeless", TARGET, "outcome-bundle-missing")
    waits = terminal.shows("hopeless", "reason", "BackingOff")
    assert waits["attempt"] == waits["consecutiveFailures"]
    assert waits["nextAllowedExecution"]
    told = until(lambda: _failed_early(terminal, "hopeless"), 60, "why says how it failed")
    assert "push the bundle" in told
    stack.restart("redis")
    stack.restart("worker-1")
    ended = terminal.reaches("hopeless", "Failed")
    assert (ended["attempt"], ended["consecutiveFailures"]) == (3, 3)
    assert ended["failureDetails"]["wasExecutionFailure"] is False
    story = terminal.story("hopeless")
    assert [event["event_type"].removeprefix("workflow.") for event in story if "started" in event["event_type"]] == (
        ["started"] * 3
    )
    kinds = [(event["event_type"], event["event_data"]["attempt"]) for event in story]
    assert len(set(kinds)) == len(kinds)
    assert kinds[-1] == ("workflow.failed", 3)
    assert {("workflow.retrying", 1), ("workflow.retrying", 2)} < set(kinds)
    starts = [instant(event["event_timestamp"]) for event in story if event["event_type"] == "workflow.started"]
    assert (starts[1] - starts[0]).total_seconds() >= 4
    assert (starts[2] - starts[1]).total_seconds() >= 8
    assert terminal.events("hopeless").count("RetriesExhausted") == 1


def _failed_early(terminal: Terminal, name: str) -> str:
    told = terminal.wfe("why", name)
    return told if re.search(r"attempt \d: its run failed before any task ran", told) else ""


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_a_failure_half_way_blocks_until_somebody_clears_it(terminal: Terminal) -> None:
    terminal.declare("broken", TARGET, "outcome-exit-3-200ms-tasks-2")
    failed = terminal.reaches("broken", "Failed")
    details = failed["failureDetails"]
    assert (details["reason"], details["exitCode"], details["wasExecutionFailure"]) == ("TaskFailed", 3, True)
    assert details["failedTaskName"]
    assert details["naturalLanguageSummary"]
    terminal.declare("follower", TARGET)
    held = terminal.shows("follower", "reason", "PreviousExecutionFailed")
    message = next(each["message"] for each in held["conditions"] if each["type"] == "ResourceLocked")
    assert "wfe clear" in message
    assert '`wfe clear broken -n default --reason "…"`' in terminal.wfe("why", "follower")
    assert "it blocks shop/deployment/cart until somebody clears it" in terminal.wfe("why", "broken")
    assert terminal.read("locks")[0]["doing"] == "Blocking"
    assert "follower does not block its target" in terminal.refused("clear", "follower", "--reason", "x")
    assert "blocked by the failed default/broken" in plan_of(terminal)

    assert terminal.status("follower")["phase"] == "Pending"
    me = terminal.whoami()
    assert f"asked by {me}: looked at it" in terminal.wfe("clear", "broken", "--reason", "looked at it")
    terminal.reaches("follower", "Completed")
    clearance = terminal.status("broken")["blockClearance"]
    assert (clearance["clearedBy"], clearance["clearReason"], clearance["clearMethod"]) == (
        (me, "looked at it", "Annotation")
    )
    assert clearance["clearedAt"]
    assert f"By:             {me}" in terminal.wfe("describe", "broken")
    assert terminal.told("broken") == ["started", "failed", "block_cleared"]
    told = terminal.wfe("audit", "--correlation-id", "rr-shop-deployment-cart", "-o", "json")
    events = json.loads(told)
    cleared = next(event for event in events if event["event_type"] == "workflow.block_cleared")
    assert (cleared["actor_type"], cleared["actor_id"]) == ("user", me)
    assert {event["resource_id"] for event in events} >= {"broken", "follower"}
    assert "BlockCleared" in terminal.events("broken")
    assert "asked to clear its block already" in terminal.wfe("clear", "broken", "--reason", "again")


def plan_of(terminal: Terminal) -> str:
    return terminal.wfe("plan", "-f", "-", stdin=json.dumps(terminal.manifest("planned", TARGET)))


def test_a_target_can_be_unlocked_with_its_block_and_cooldown(terminal: Terminal) -> None:
    terminal.declare("locked", TARGET, "outcome-exit-3-200ms")
    terminal.reaches("locked", "Failed")
    terminal.declare("unlocked", TARGET, "outcome-hang")
    terminal.shows("unlocked", "reason", "PreviousExecutionFailed")
    terminal.wfe("unlock", TARGET, "--reason", "the deployment is gone anyhow")
    terminal.reaches("unlocked", "Running")
    said = terminal.refused("unlock", "unlocked", "--reason", "impatient")
    assert "has not ended (it is Running); cancel it first: `wfe cancel unlocked -n default" in said
    unlock = terminal.status("locked")["unlock"]
    assert (unlock["by"], unlock["reason"]) == (terminal.whoami(), "the deployment is gone anyhow")
    assert "Unlocked:" in terminal.wfe("describe", "locked")
    assert terminal.told("locked") == ["started", "failed", "unlocked"]
    terminal.succeed("unlocked")
    terminal.reaches("unlocked", "Completed")


def test_a_run_deleted_by_hand_fails_and_frees_the_target(terminal: Terminal) -> None:
    terminal.declare("robbed", TARGET, "outcome-hang")
    name = terminal.reaches("robbed", "Running")["pipelineRunRef"]["name"]
    terminal.declare("heir", TARGET)
    terminal.kubectl("delete", "pipelinerun", "-n", RUNS, name)
    failed = terminal.reaches("robbed", "Failed")
    assert "deleted externally" in failed["failureDetails"]["message"]
    assert failed["pipelineRunRef"]["name"] == name
    following = terminal.reaches("heir", "Completed")
    assert following["startTime"] > failed["completionTime"]
    assert "deleted externally" in terminal.wfe("audit", "robbed")
    until(lambda: "No target is held." in terminal.wfe("locks"), 90, "the target is free", every=0.5)
