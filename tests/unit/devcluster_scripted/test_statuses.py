"""What is written at each moment of a run, in which order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devcluster.scripted.course import Course, Kind, Moment, course_of, timetable
from devcluster.scripted.statuses import CreateTaskRun, PatchRun, PatchTaskRun, Write, writes

PREFIX = "devcluster.kubernaut.ai/"
START = datetime(2026, 1, 2, 3, 4, 5, 600_000, UTC)


def course(fast: bool = False, /, **annotations: str) -> Course:
    run: dict[str, Any] = {
        "metadata": {
            "namespace": "runs",
            "name": "wfe-1",
            "uid": "uid-1",
            "labels": {"kubernaut.ai/workflow-id": "restart"},
            "annotations": {PREFIX + k: v for k, v in annotations.items()},
        },
        "spec": {
            "pipelineRef": {"resolver": "bundles", "params": [{"name": "bundle", "value": "h:1/x/y:v1"}]},
            "timeouts": {"pipeline": "5s"},
            "taskRunTemplate": {"serviceAccountName": "runner"},
        },
    }
    return course_of(run, fast=fast)


def played(of: Course) -> list[Write]:
    at: dict[Moment, datetime] = {}
    written: list[Write] = []
    for stop in timetable(of):
        at[stop.moment] = START + stop.after
        written += writes(of, stop.moment, at)
    return written


def told(written: list[Write]) -> list[str]:
    """Name each write: where, and the condition it sets."""
    names = []
    for write in written:
        match write:
            case CreateTaskRun(document):
                names.append(f"create {document['metadata']['name']}")
            case PatchTaskRun(name, status):
                names.append(f"{name} {status['conditions'][0]['status']}/{status['conditions'][0]['reason']}")
            case PatchRun(status):
                names.append(f"run {status['conditions'][0]['status']}/{status['conditions'][0]['reason']}")
    return names


def last_run_status(of: Course) -> dict[str, Any]:
    return [write.status for write in played(of) if isinstance(write, PatchRun)][-1]


def last_task_run_status(of: Course) -> dict[str, Any]:
    return [write.status for write in played(of) if isinstance(write, PatchTaskRun)][-1]


def test_a_success_is_written_in_tektons_order() -> None:
    assert told(played(course())) == [
        "run Unknown/ResolvingPipelineRef",
        "create wfe-1-task-1",
        "run Unknown/Running",
        "wfe-1-task-1 Unknown/Running",
        "wfe-1-task-1 True/Succeeded",
        "run True/Succeeded",
    ]


@pytest.mark.parametrize(
    ("outcome", "end"),
    [
        ("exit", ["wfe-1-task-1 False/StepFailed", "run False/Failed"]),
        ("oom", ["wfe-1-task-1 False/StepOOM", "run False/Failed"]),
        ("image-pull", ["wfe-1-task-1 False/TaskRunImagePullFailed", "run False/Failed"]),
        ("account-missing", ["wfe-1-task-1 False/PodCreationFailed", "run False/Failed"]),
        ("hang", ["run False/PipelineRunTimeout", "wfe-1-task-1 False/TaskRunCancelled"]),
        ("timeout", ["run False/PipelineRunTimeout", "wfe-1-task-1 False/TaskRunCancelled"]),
        ("cancel", ["run False/Cancelled", "wfe-1-task-1 False/TaskRunCancelled"]),
        ("bundle-missing", ["run Unknown/ResolvingPipelineRef", "run False/CouldntGetPipeline"]),
        ("parameter-missing", ["run Unknown/ResolvingPipelineRef", "run False/ParameterMissing"]),
    ],
)
def test_each_outcome_ends_with_its_reasons_in_tektons_order(outcome: str, end: list[str]) -> None:
    assert told(played(course(outcome=outcome)))[-2:] == end


def test_an_image_that_cannot_be_pulled_is_waited_for_first() -> None:
    assert "wfe-1-task-1 Unknown/PullImageFailed" in told(played(course(outcome="image-pull")))


def test_a_gentle_cancel_is_seen_running_finally() -> None:
    assert told(played(course(outcome="cancel")))[-3] == "run Unknown/CancelledRunningFinally"


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        ({}, "Tasks Completed: 1 (Failed: 0, Cancelled 0), Skipped: 0"),
        ({"tasks": "3"}, "Tasks Completed: 3 (Failed: 0, Cancelled 0), Skipped: 0"),
        ({"outcome": "exit", "tasks": "3"}, "Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 2"),
        (
            {"outcome": "exit", "tasks": "3", "task": "task-2"},
            "Tasks Completed: 2 (Failed: 1, Cancelled 0), Skipped: 1",
        ),
        ({"outcome": "timeout"}, 'PipelineRun "wfe-1" failed to finish within "5s"'),
        ({"outcome": "cancel"}, 'PipelineRun "wfe-1" was cancelled'),
    ],
)
def test_the_final_message_counts_tasks_as_tekton_does(annotations: dict[str, str], message: str) -> None:
    assert last_run_status(course(**annotations))["conditions"][0]["message"] == message


def test_a_run_between_two_tasks_tells_what_is_left() -> None:
    running = [w.status for w in played(course(tasks="3")) if isinstance(w, PatchRun)][2]
    assert running["conditions"][0]["message"] == (
        "Tasks Completed: 1 (Failed: 0, Cancelled 0), Incomplete: 2, Skipped: 0"
    )
    assert [(c["name"], c["pipelineTaskName"]) for c in running["childReferences"]] == [
        ("wfe-1-task-1", "task-1"),
        ("wfe-1-task-2", "task-2"),
    ]


def test_tasks_after_a_failed_one_are_named_as_skipped() -> None:
    status = last_run_status(course(outcome="exit", tasks="2"))
    assert status["skippedTasks"] == [{"name": "task-2", "reason": "PipelineRun was stopping"}]


@pytest.mark.parametrize(
    ("annotations", "code", "reason"),
    [
        ({}, 0, "Completed"),
        ({"outcome": "exit", "exit-code": "7"}, 7, "Error"),
        ({"outcome": "oom"}, 137, "OOMKilled"),
        ({"outcome": "image-pull"}, 1, "TaskRunImagePullFailed"),
        ({"outcome": "timeout"}, 1, "TaskRunCancelled"),
        ({"outcome": "cancel"}, 1, "TaskRunCancelled"),
    ],
)
def test_the_step_terminates_as_the_container_would(annotations: dict[str, str], code: int, reason: str) -> None:
    (step,) = last_task_run_status(course(**annotations))["steps"]
    assert (step["terminated"]["exitCode"], step["terminated"]["reason"]) == (code, reason)
    assert step["terminationReason"] == reason
    assert "running" not in step
    assert "waiting" not in step


def test_without_an_account_no_step_and_no_pod_ever_was() -> None:
    status = last_task_run_status(course(outcome="account-missing"))
    assert status["steps"] == [{"name": "main"}]
    assert status["podName"] == ""


def test_instants_are_whole_seconds_and_the_start_never_moves() -> None:
    statuses = [write.status for write in played(course(duration="2s")) if isinstance(write, PatchRun)]
    assert {status["startTime"] for status in statuses} == {"2026-01-02T03:04:05Z"}
    assert statuses[-1]["completionTime"] == "2026-01-02T03:04:07Z"
    assert "completionTime" not in statuses[0]


def test_a_task_run_belongs_to_its_run() -> None:
    (created,) = (write.document for write in played(course()) if isinstance(write, CreateTaskRun))
    (owner,) = created["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == ("PipelineRun", "wfe-1", "uid-1", True)
    labels = created["metadata"]["labels"]
    assert labels["tekton.dev/pipelineTask"] == "task-1"
    assert labels["tekton.dev/pipelineRunUID"] == "uid-1"
    assert labels["kubernaut.ai/workflow-id"] == "restart", "labels of the run travel"
    assert created["spec"]["serviceAccountName"] == "runner"


def test_a_fast_success_is_two_writes_and_names_no_task_run() -> None:
    written = played(course(True))
    assert told(written) == ["run Unknown/Running", "run True/Succeeded"]
    assert all("childReferences" not in write.status for write in written if isinstance(write, PatchRun))


def test_a_cancel_before_the_first_task_touches_no_task_run() -> None:
    moment = Moment(Kind.CANCELLED)
    at = {Moment(Kind.RESOLVE): START, moment: START + timedelta(seconds=1)}
    assert told(list(writes(course(), moment, at))) == ["run False/Cancelled"]
