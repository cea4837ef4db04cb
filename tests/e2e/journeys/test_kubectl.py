"""J1 and J2 as a person types them: kubectl and wfe against a stack with the real Tekton controller."""

from __future__ import annotations

import json

import pytest

from tests.terminal import Terminal
from tests.waiting import until

pytestmark = [pytest.mark.real_tekton, pytest.mark.timeout(600)]


def test_run_a_remediation_and_watch_it(terminal: Terminal) -> None:
    terminal.declare("before", "malformed")
    phases: list[str] = []
    with terminal.watching("restart", phases):
        terminal.apply("restart.yaml")
        terminal.kubectl("wait", "wfe/restart", "--for=jsonpath={.status.phase}=Completed", "--timeout=90s")
        ours = ("get", "events", "--field-selector", "involvedObject.name=restart,reason=LockReleased")
        until(lambda: "LockReleased" in terminal.kubectl(*ours), 90, "the target is free")
        until(lambda: "audit" not in terminal.status("restart"), 90, "its audit is stored", every=0.2)
    assert phases == ["Pending", "Running", "Completed"]

    columns = terminal.kubectl("get", "wfe", "restart", "-o", "wide")
    for word in ("PHASE", "WORKFLOWID", "TARGET", "REASON", "DURATION", "AGE", "ATTEMPT", "NEXT"):
        assert word in columns.splitlines()[0]
    described = terminal.kubectl("describe", "wfe", "restart")
    for word in ("PipelineRunCreated", "WorkflowCompleted", "LockReleased"):
        assert described.count(word) == 1, described
    conditions = {c["type"]: (c["status"], c["reason"]) for c in terminal.status("restart")["conditions"]}
    assert conditions == {
        "TektonPipelineCreated": ("True", "PipelineCreated"),
        "TektonPipelineRunning": ("True", "PipelineStarted"),
        "TektonPipelineComplete": ("True", "PipelineSucceeded"),
        "AuditRecorded": ("True", "AuditSucceeded"),
    }
    told = terminal.wfe("audit", "restart")
    assert told.index("workflow.started") < told.index("workflow.completed")


def test_one_run_with_a_timeout_and_our_labels(terminal: Terminal, held: dict[str, str]) -> None:
    terminal.apply("restart.yaml", targetResource="default/deployment/one", workflowRef=held)
    status = terminal.reaches("restart", "Running")
    runs = terminal.runs()
    assert [run["metadata"]["name"] for run in runs] == [status["pipelineRunRef"]["name"]]
    assert runs[0]["metadata"]["namespace"] == "kubernaut-workflows"
    assert runs[0]["spec"]["timeouts"]["pipeline"]
    assert (
        runs[0]["metadata"]["labels"].items()
        >= {
            "kubernaut.ai/workflow-execution": "restart",
            "kubernaut.ai/source-namespace": "default",
            "kubernaut.ai/target-resource": "default__deployment__one",
            "kubernaut.ai/workflow-id": "restart-workload",
        }.items()
    )
    assert "ownerReferences" not in runs[0]["metadata"]
    terminal.finish(runs[0]["metadata"]["name"])
    assert terminal.reaches("restart", "Completed")["pipelineRunRef"] == status["pipelineRunRef"]


def test_second_request_for_a_target_waits_and_starts_by_itself(terminal: Terminal, held: dict[str, str]) -> None:
    terminal.apply("restart.yaml", targetResource="default/deployment/two", workflowRef=held)
    run = terminal.reaches("restart", "Running")["pipelineRunRef"]["name"]
    with terminal.watching("restart-again", []) as screen:
        terminal.apply("restart-again.yaml", targetResource="default/deployment/two")
        screen.shows("restart-again", "Pending", "TargetResourceBusy")
        described = terminal.kubectl("describe", "wfe", "restart-again")
        assert "position 1, held by default/restart since " in described
        assert "number 1 in line" in terminal.wfe("why", "restart-again")
        assert "restart-again" in terminal.wfe("queue")
        terminal.finish(run)
        first = terminal.reaches("restart", "Completed")
        screen.shows("restart-again", "Pending", "RecentlyRemediated")
        second = terminal.reaches("restart-again", "Completed")
    assert second["startTime"] > first["completionTime"]
    assert not any(c["type"] == "ResourceLocked" for c in second["conditions"])


def test_failing_one_says_why(terminal: Terminal) -> None:
    terminal.apply("failing.yaml")
    status = terminal.reaches("failing", "Failed")
    details = status["failureDetails"]
    assert (details["reason"], details["failedTaskName"], details["exitCode"]) == ("TaskFailed", "rollback", 1)
    assert details["wasExecutionFailure"] is True
    assert details["failedTaskIndex"] == 1
    assert status["reason"] == "TaskFailed"
    assert "rollback" in terminal.wfe("why", "failing")


def test_missing_bundle_is_retried_and_says_so(terminal: Terminal) -> None:
    terminal.apply(
        "restart.yaml",
        workflowRef={"workflowId": "x", "version": "1", "containerImage": f"{terminal.registry}/kubernaut/nothing:v1"},
    )
    status = terminal.shows("restart", "reason", "BackingOff")
    # A second attempt may have failed before this terminal looked.
    assert status["consecutiveFailures"] == status["attempt"] in (1, 2)
    assert status["nextAllowedExecution"]


def test_deletion_stops_a_run_and_leaves_nothing(terminal: Terminal, held: dict[str, str]) -> None:
    terminal.apply("restart.yaml", targetResource="default/deployment/three", workflowRef=held)
    terminal.reaches("restart", "Running")
    terminal.kubectl("delete", "wfe", "restart", "--timeout=90s")
    assert terminal.runs() == []
    terminal.apply("restart-again.yaml", targetResource="default/deployment/three", workflowRef=held)
    run = terminal.reaches("restart-again", "Running")["pipelineRunRef"]["name"]
    listed = json.loads(terminal.kubectl("get", "taskrun", "-n", "kubernaut-workflows", "-o", "json"))["items"]
    owners = {owner["uid"] for one in listed for owner in one["metadata"]["ownerReferences"]}
    assert owners <= {run["metadata"]["uid"] for run in terminal.runs()}, (
        "a TaskRun of the deleted run is taken for the new one's"
    )
    terminal.finish(run)
    terminal.reaches("restart-again", "Completed")


def test_external_deletion_of_the_run(terminal: Terminal, held: dict[str, str]) -> None:
    terminal.apply("restart.yaml", targetResource="default/deployment/four", workflowRef=held)
    name = terminal.reaches("restart", "Running")["pipelineRunRef"]["name"]
    terminal.kubectl("delete", "pipelinerun", "-n", "kubernaut-workflows", name)
    status = terminal.reaches("restart", "Failed")
    assert "deleted externally" in status["failureDetails"]["message"]
    assert status["pipelineRunRef"]["name"] == name


def test_schema_teaches(terminal: Terminal) -> None:
    explained = terminal.kubectl("explain", "wfe.spec")
    for field in ("targetResource", "workflowRef", "parameters", "executionConfig"):
        assert field in explained
    assert "DESCRIPTION" in explained
