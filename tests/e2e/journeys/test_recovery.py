"""J2 to J6 with the real Tekton controller where something goes wrong: skips, backoff, blocks, a worker that dies."""

from __future__ import annotations

import pytest

from cli.local import Stack
from tests.terminal import RUNS, Terminal
from tests.waiting import until

pytestmark = [pytest.mark.real_tekton, pytest.mark.timeout(900)]


def test_who_does_not_want_to_wait_is_skipped(terminal: Terminal, held: dict[str, str]) -> None:
    target = "default/deployment/skip"
    terminal.apply("restart.yaml", targetResource=target, workflowRef=held)
    run = terminal.reaches("restart", "Running")["pipelineRunRef"]["name"]
    terminal.apply("restart-again.yaml", targetResource=target, executionConfig={"concurrencyPolicy": "Skip"})
    skipped = terminal.reaches("restart-again", "Skipped")
    assert skipped["skipDetails"]["reason"] == "ResourceBusy"
    assert skipped["skipDetails"]["conflictingWorkflow"]["name"] == "restart"
    terminal.finish(run)
    terminal.reaches("restart", "Completed")


def test_a_cooldown_survives_a_restart_of_everything(terminal: Terminal, stack: Stack) -> None:
    target = "default/deployment/rested"
    terminal.apply("restart.yaml", targetResource=target)
    first = terminal.reaches("restart", "Completed")
    terminal.apply("restart-again.yaml", targetResource=target)
    for part in ("redis", "watcher", "beat", *stack.workers):
        stack.stop(part)
    for part in ("redis", "watcher", "beat", *stack.workers):
        stack.start(part)
    second = terminal.reaches("restart-again", "Completed", 180)
    assert terminal.status("restart")["completionTime"] == first["completionTime"]
    assert second["startTime"] > first["completionTime"]


def test_attempts_are_counted_across_a_wiped_redis(terminal: Terminal, stack: Stack) -> None:
    image = f"{terminal.registry}/kubernaut/nothing:v1"
    terminal.apply("restart.yaml", workflowRef={"workflowId": "x", "version": "1", "containerImage": image})
    terminal.shows("restart", "reason", "BackingOff")
    stack.restart("redis")
    stack.restart("worker-1")
    ended = terminal.reaches("restart", "Failed", 180)
    assert (ended["attempt"], ended["consecutiveFailures"]) == (3, 3)
    assert ended["failureDetails"]["wasExecutionFailure"] is False
    assert terminal.events("restart").count("RetriesExhausted") == 1


def test_a_failure_half_way_blocks_until_it_is_cleared(terminal: Terminal) -> None:
    terminal.apply("failing.yaml", targetResource="default/deployment/blocked")
    terminal.reaches("failing", "Failed")
    terminal.apply("restart.yaml", targetResource="default/deployment/blocked")
    terminal.shows("restart", "reason", "PreviousExecutionFailed")
    assert "wfe clear failing -n default" in terminal.wfe("why", "restart")
    terminal.wfe("clear", "failing", "--reason", "rolled back by hand")
    terminal.reaches("restart", "Completed", 120)
    clearance = terminal.status("failing")["blockClearance"]
    assert (clearance["clearedBy"], clearance["clearReason"]) == (terminal.whoami(), "rolled back by hand")


def test_another_worker_goes_on(terminal: Terminal, stack: Stack, held: dict[str, str]) -> None:
    terminal.apply("restart.yaml", targetResource="default/deployment/orphaned", workflowRef=held)
    run = terminal.reaches("restart", "Running")["pipelineRunRef"]["name"]
    stack.kill9("worker-1")
    terminal.finish(run)
    terminal.reaches("restart", "Completed")
    assert terminal.events("restart").count("PipelineRunCreated") == 1


def test_cancel_ends_the_run_gently(terminal: Terminal, held: dict[str, str]) -> None:
    terminal.apply("restart.yaml", targetResource="default/deployment/cancelled", workflowRef=held)
    name = terminal.reaches("restart", "Running")["pipelineRunRef"]["name"]
    terminal.wfe("cancel", "restart", "--reason", "wrong target")
    ended = terminal.reaches("restart", "Failed", 120)
    assert ended["cancellation"]["reason"] == "wrong target"
    assert ended["pipelineRunRef"]["name"] == name


def test_run_for_which_there_is_no_room_is_tried_again_until_there_is(terminal: Terminal) -> None:
    terminal.kubectl("create", "quota", "none", "--hard=pods=0", "-n", RUNS)
    try:
        counts = ("get", "quota", "none", "-n", RUNS, "-o", "jsonpath={.status.hard}")
        until(lambda: terminal.kubectl(*counts), 60, "the quota counts", every=0.2)
        terminal.apply("restart.yaml", targetResource="default/deployment/room", executionConfig={"timeout": "15s"})
        told = ("get", "events", "--field-selector", "involvedObject.name=restart,reason=RetryScheduled")
        until(lambda: "exceeded quota: none" in terminal.kubectl(*told), 90, "it says for what", every=0.2)
    finally:
        terminal.kubectl("delete", "quota", "none", "-n", RUNS)
    ended = terminal.reaches("restart", "Completed", 120)
    assert (ended["attempt"] > 1, ended.get("consecutiveFailures", 0)) == (True, 0)
    assert "retrying" in terminal.told("restart")
