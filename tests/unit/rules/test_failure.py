"""Failure classes: Tekton's words, as its controller was seen to write them, and what they mean to us."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from models.execution import Engine
from models.failure import explain_failure, refusal
from models.run import Run, read_run
from models.status import FailureDetails, FailureReason
from models.task_run import Step, TaskRun, read_task_runs
from tests.unit.rules.builders import NOW, failed

Reason = FailureReason


RAN = Step(name="act", exit_code=1, reason="Error")
KILLED = Step(name="act", exit_code=137, reason="OOMKilled")
DECLARED = Step(name="act", exit_code=1, reason="TaskRunImagePullFailed", container=False)
"""Tekton declares a step terminated with its pod, whether or not its container ever was alive."""
WAITING = Step(name="act", reason="ImagePullBackOff")
ALIVE = Step(name="act", running=True)
SIDECAR = Step(name="proxy", exit_code=137, reason="OOMKilled")
NO_QUOTA = "Previous status: [ExceededResourceQuota] TaskRun Pod exceeded available resources: exceeded quota: none"
TIMED_OUT = '"step-act" exited because the step exceeded the specified timeout limit'


def task(reason: str, *steps: Step, **changes: Any) -> TaskRun:
    plain = TaskRun(name="t", pipeline_task="act", index=0, succeeded=False, reason=reason, steps=steps)
    return replace(plain, **changes)


# Every row of what Tekton's controller says of a TaskRun that failed, and whether a task had started by then.
TASK_RUNS = [
    (task("StepFailed", RAN), Reason.TASK_FAILED, True),
    (task("StepFailed", KILLED), Reason.OOM_KILLED, True),
    (task("StepFailed", RAN, message=TIMED_OUT), Reason.DEADLINE_EXCEEDED, True),
    (task("StepOOM", KILLED), Reason.OOM_KILLED, True),
    (task("Failed", KILLED), Reason.OOM_KILLED, True),
    (task("Failed", RAN), Reason.TASK_FAILED, True),
    (task("Failed"), Reason.TASK_FAILED, False),
    (task("SidecarOOM", ALIVE, sidecars=(SIDECAR,)), Reason.OOM_KILLED, True),
    (task("SidecarOOM", sidecars=(SIDECAR,)), Reason.OOM_KILLED, False),
    (task("SidecarOOM", replace(RAN, exit_code=143), sidecars=(SIDECAR,)), Reason.OOM_KILLED, True),
    (task("SidecarFailed", RAN, sidecars=(replace(SIDECAR, reason="Error"),)), Reason.TASK_FAILED, True),
    (task("InitContainerOOM", message="init container failed, prepare"), Reason.OOM_KILLED, False),
    (task("InitContainerFailed", message="init container failed, prepare"), Reason.TASK_FAILED, False),
    (task("PodEvicted", ALIVE), Reason.RESOURCE_EXHAUSTED, True),
    (task("PodEvicted"), Reason.RESOURCE_EXHAUSTED, False),
    (task("TaskRunImagePullFailed", DECLARED), Reason.IMAGE_PULL_BACK_OFF, False),
    (task("TaskRunImagePullFailed", RAN, DECLARED), Reason.IMAGE_PULL_BACK_OFF, True),
    (task("PullImageFailed", WAITING), Reason.IMAGE_PULL_BACK_OFF, False),
    (task("CreateContainerConfigError", WAITING), Reason.CONFIGURATION_ERROR, False),
    (task("PodCreationFailed"), Reason.CONFIGURATION_ERROR, False),
    (task("PodAdmissionFailed"), Reason.FORBIDDEN, False),
    (task("ExceededNodeResources"), Reason.RESOURCE_EXHAUSTED, False),
    (task("ExceededResourceQuota"), Reason.RESOURCE_EXHAUSTED, False),
    (task("TaskRunTimeout", replace(RAN, reason="TaskRunTimeout")), Reason.DEADLINE_EXCEEDED, True),
    (task("TaskRunTimeout", DECLARED), Reason.DEADLINE_EXCEEDED, False),
    (task("TaskRunTimeout", DECLARED, message=f"late\n{NO_QUOTA}"), Reason.RESOURCE_EXHAUSTED, False),
    (task("TaskRunCancelled", replace(RAN, reason="TaskRunCancelled")), Reason.UNKNOWN, True),
    (task("TaskRunCancelled", DECLARED, message=f"cancelled\n{NO_QUOTA}"), Reason.UNKNOWN, False),
    (task("StepFailed", DECLARED, earlier=(RAN,)), Reason.TASK_FAILED, True),
    (task("TaskRunImagePullFailed", DECLARED, earlier=(RAN,)), Reason.IMAGE_PULL_BACK_OFF, True),
    (task("TaskRunImagePullFailed", DECLARED, earlier=(DECLARED,)), Reason.IMAGE_PULL_BACK_OFF, False),
    (task("SomethingNew", replace(WAITING, message="Back-off")), Reason.UNKNOWN, False),
    (task("TaskRunResultLargerThanAllowedLimit", replace(RAN, exit_code=0)), Reason.TASK_FAILED, True),
    (task("TaskRunResolutionFailed"), Reason.CONFIGURATION_ERROR, False),
    (task("TaskRunValidationFailed"), Reason.CONFIGURATION_ERROR, False),
    (task("SomethingNew", RAN), Reason.TASK_FAILED, True),
    (task("SomethingNew"), Reason.UNKNOWN, False),
    (task("SomethingNew", message="the node said: out of memory"), Reason.OOM_KILLED, False),
]

# What the kubelet says of the pod of a Job that failed.
PODS = [
    (task("Error", RAN), "BackoffLimitExceeded", Reason.TASK_FAILED, True),
    (task("OOMKilled", KILLED), "BackoffLimitExceeded", Reason.OOM_KILLED, True),
    (task("Error", RAN), "PodFailurePolicy", Reason.TASK_FAILED, True),
    (task("Error", replace(RAN, exit_code=143)), "DeadlineExceeded", Reason.DEADLINE_EXCEEDED, True),
    (task("DeadlineExceeded", RAN), "BackoffLimitExceeded", Reason.DEADLINE_EXCEEDED, True),
    (task("Evicted", RAN), "BackoffLimitExceeded", Reason.RESOURCE_EXHAUSTED, True),
    (task("Evicted"), "BackoffLimitExceeded", Reason.RESOURCE_EXHAUSTED, False),
    (task("OutOfcpu"), "BackoffLimitExceeded", Reason.RESOURCE_EXHAUSTED, False),
    (task("Unschedulable", succeeded=None), "DeadlineExceeded", Reason.RESOURCE_EXHAUSTED, False),
    (task("ErrImagePull", WAITING, succeeded=None), "DeadlineExceeded", Reason.IMAGE_PULL_BACK_OFF, False),
    (task("ImagePullBackOff", WAITING), "ImagePullBackOff", Reason.IMAGE_PULL_BACK_OFF, False),
    (task("InvalidImageName", WAITING), "InvalidImageName", Reason.IMAGE_PULL_BACK_OFF, False),
    (task("CreateContainerConfigError", WAITING), "CreateContainerConfigError", Reason.CONFIGURATION_ERROR, False),
    (task("CreateContainerError", WAITING), "CreateContainerError", Reason.CONFIGURATION_ERROR, False),
    (task("StartError", replace(RAN, exit_code=128, reason="StartError")), "", Reason.CONFIGURATION_ERROR, False),
    (task("FailedCreate", message='pods "x" is forbidden: exceeded quota: few'), "", Reason.RESOURCE_EXHAUSTED, False),
    (task("FailedCreate", message='pods "x" is forbidden: violates PodSecurity'), "", Reason.FORBIDDEN, False),
    (
        task("FailedCreate", message='pods "x" is forbidden: error looking up service account runs/who'),
        "",
        Reason.CONFIGURATION_ERROR,
        False,
    ),
]

# Every reason with which a PipelineRun or a Job ends with False, where no task can be read.
BEFORE = [
    *("CouldntGetPipeline", "CouldntGetTask", "ParameterMissing", "ParameterTypeMismatch", "InvalidParamValue"),
    *("ObjectParameterMissKeys", "ParamArrayIndexingInvalid", "InvalidWorkspaceBindings", "InvalidTaskRunSpecs"),
    *("InvalidPipelineResourceBindings", "PipelineInvalidGraph", "InvalidMatrixParameterTypes"),
    *("InvalidTaskResultReference", "InvalidPipelineResultReference", "CouldntGetPipelineResult"),
    *("RequiredWorkspaceMarkedOptional", "ResourceVerificationFailed", "CELEvaluationFailed"),
]
RUNS = [
    *((failed(reason), Reason.CONFIGURATION_ERROR, False) for reason in BEFORE),
    (failed("Failed"), Reason.UNKNOWN, True),
    (failed("Failed", started_at=None), Reason.UNKNOWN, False),
    (failed("Cancelled"), Reason.UNKNOWN, True),
    (failed("PipelineRunTimeout"), Reason.DEADLINE_EXCEEDED, True),
    (failed("CreateRunFailed", message="taskruns is forbidden: exceeded quota"), Reason.RESOURCE_EXHAUSTED, True),
    (failed("CreateRunFailed", message="User x is forbidden"), Reason.FORBIDDEN, True),
    (failed("PipelineValidationFailed"), Reason.CONFIGURATION_ERROR, True),
    (failed("DeadlineExceeded"), Reason.DEADLINE_EXCEEDED, True),
    (failed("DeadlineExceeded", started_at=None), Reason.DEADLINE_EXCEEDED, False),
    (failed("BackoffLimitExceeded"), Reason.UNKNOWN, True),
    (failed("ImagePullBackOff"), Reason.IMAGE_PULL_BACK_OFF, False),
    (failed("FailedCreate", message="exceeded quota: few"), Reason.RESOURCE_EXHAUSTED, False),
    (failed("Failed", message="context deadline exceeded"), Reason.DEADLINE_EXCEEDED, True),
    (failed("Failed", message="Back-off pulling image x"), Reason.IMAGE_PULL_BACK_OFF, True),
    (failed("Failed", message="the zoom was forbiddenly timed"), Reason.UNKNOWN, True),
]


def told(details: FailureDetails) -> tuple[FailureReason, bool]:
    assert details.summary.endswith(("not touched.", "anything else is run on it."))
    return details.reason, details.started


@pytest.mark.parametrize(("culprit", "expected", "started"), TASK_RUNS)
def test_failed_task_run(culprit: TaskRun, expected: FailureReason, started: bool) -> None:
    assert told(explain_failure(failed(), [culprit], NOW)) == (expected, started)


@pytest.mark.parametrize(("pod", "run_reason", "expected", "started"), PODS)
def test_failed_pod_of_a_job(pod: TaskRun, run_reason: str, expected: FailureReason, started: bool) -> None:
    run = failed(run_reason or "BackoffLimitExceeded", engine=Engine.JOB)
    assert told(explain_failure(run, [pod], NOW)) == (expected, started)


@pytest.mark.parametrize(("run", "expected", "started"), RUNS)
def test_failed_run_without_a_task_to_read(run: Run, expected: FailureReason, started: bool) -> None:
    assert told(explain_failure(run, [], NOW)) == (expected, started)


def test_reason_from_before_the_run_says_nothing_against_a_task_that_acted() -> None:
    done = task("Succeeded", replace(RAN, exit_code=0), succeeded=True)
    details = explain_failure(failed("InvalidTaskResultReference"), [done], NOW)
    assert told(details) == (Reason.CONFIGURATION_ERROR, True)


def test_run_that_is_final_before_its_task_names_the_task_that_goes_on() -> None:
    details = explain_failure(failed("PipelineRunTimeout"), [task("Running", ALIVE, succeeded=None)], NOW)
    assert told(details) == (Reason.DEADLINE_EXCEEDED, True)
    assert details.task_name == "act"


def test_task_that_failed_goes_before_those_that_were_cut_off() -> None:
    cut = task("TaskRunCancelled", DECLARED, pipeline_task="other")
    details = explain_failure(failed(), [cut, task("StepOOM", KILLED, index=1)], NOW)
    assert (details.task_name, details.task_index, details.reason) == ("act", 1, Reason.OOM_KILLED)


def test_details_are_complete() -> None:
    culprit = task("StepFailed", replace(RAN, exit_code=3, message="no such revision"), index=2, message="exited")
    details = explain_failure(failed(message="Tasks Completed: 3"), [culprit], NOW)
    assert details == FailureDetails(
        reason=Reason.TASK_FAILED,
        message="Failed: Tasks Completed: 3; task act: StepFailed: exited; step act: no such revision",
        failed_at=NOW - timedelta(seconds=1),
        summary="Task 'act', step 'act', failed with exit code 3 (no such revision): its log says why. "
        "It may have changed the target: look at it before anything else is run on it.",
        started=True,
        task_index=2,
        task_name="act",
        step_name="act",
        exit_code=3,
        run_time="7s",
    )


@pytest.mark.parametrize(
    ("changes", "started"),
    [({}, False), ({"imageID": "sha256:1"}, True), ({"terminated": {"startedAt": "2026-01-01T00:00:02Z"}}, True)],
)
def test_step_that_waited_is_declared_terminated_with_its_task(changes: dict[str, Any], started: bool) -> None:
    created = "2026-01-01T00:00:00Z"
    ended = {"exitCode": 1, "reason": "TaskRunImagePullFailed", "startedAt": created, **changes.pop("terminated", {})}
    labels = {"tekton.dev/pipelineRun": failed().name}
    metadata = {"name": "t", "creationTimestamp": created, "labels": labels}
    document = {"metadata": metadata, "status": {"steps": [{"name": "act", "terminated": ended, **changes}]}}
    (task,) = read_task_runs([document], failed())
    assert task.started is started


@pytest.mark.parametrize(
    ("message", "changes", "started"),
    [
        (f"cancelled\n{NO_QUOTA}", {}, False),
        (f"cancelled\n{NO_QUOTA}", {"imageID": "sha256:1"}, True),
        ("cancelled", {}, True),
    ],
)
def test_step_of_a_task_that_was_cut_off_was_alive_unless_its_pod_waited(
    message: str, changes: dict[str, Any], started: bool
) -> None:
    created = "2026-01-01T00:00:00Z"
    ended = {"exitCode": 1, "reason": "TaskRunCancelled", "startedAt": created}
    condition = {"type": "Succeeded", "status": "False", "reason": "TaskRunCancelled", "message": message}
    status = {"steps": [{"name": "act", "terminated": ended, **changes}], "conditions": [condition]}
    (task,) = read_task_runs([_document(created, status)], failed())
    assert task.started is started


def test_step_that_ran_in_an_earlier_try_counts() -> None:
    created = "2026-01-01T00:00:00Z"
    declared = {"exitCode": 1, "reason": "TaskRunImagePullFailed", "startedAt": created}
    ran = {"exitCode": 1, "reason": "Error", "startedAt": created}
    status = {"steps": [{"name": "act", "terminated": declared}]}
    earlier = {"retriesStatus": [{"steps": [{"name": "act", "terminated": ran}]}]}
    (never,) = read_task_runs([_document(created, status)], failed())
    (once,) = read_task_runs([_document(created, {**status, **earlier})], failed())
    assert (never.started, once.started) == (False, True)


def _document(created: str, status: dict[str, Any]) -> dict[str, Any]:
    labels = {"tekton.dev/pipelineRun": failed().name, "tekton.dev/pipelineTask": "act"}
    return {"metadata": {"name": "t", "creationTimestamp": created, "labels": labels}, "status": status}


@pytest.mark.parametrize(
    ("culprit", "where", "words"),
    [
        (task("SidecarOOM", replace(RAN, exit_code=143), sidecars=(SIDECAR,)), ("proxy", 137), "step 'proxy', ran out"),
        (
            task("CreateContainerConfigError", replace(WAITING, message='secret "x" not found')),
            ("act", None),
            "step 'act', cannot run as configured (CreateContainerConfigError: secret \"x\" not found): check",
        ),
        (
            task("InitContainerFailed", message='init container failed, "prepare" exited with code 1: Error'),
            ("", None),
            'failed (InitContainerFailed: init container failed, "prepare" exited with code 1: Error): its log says',
        ),
        (
            task("TaskRunTimeout", message=f"late\n{NO_QUOTA}"),
            ("", None),
            "found no room (ExceededResourceQuota: TaskRun Pod exceeded available resources: exceeded quota: none)",
        ),
        (
            task("TaskRunTimeout", message="late\nPrevious status: [Pending] 0/3 nodes are available."),
            ("", None),
            "did not finish in time (Pending: 0/3 nodes are available): look at what it waited for",
        ),
        (
            task("TaskRunCancelled", RAN, message='TaskRun "t" was cancelled. not today'),
            ("act", 1),
            'failed (TaskRunCancelled: TaskRun "t" was cancelled. not today)',
        ),
    ],
)
def test_container_to_blame_is_named_and_what_was_said_of_it(
    culprit: TaskRun, where: tuple[str, int | None], words: str
) -> None:
    details = explain_failure(failed(), [culprit], NOW)
    assert (details.step_name, details.exit_code) == where
    assert words in details.summary
    assert "\n" not in details.message + details.summary


def test_the_index_is_the_pipelines_and_not_that_of_creation() -> None:
    run = read_run(
        {
            "metadata": {"name": "r", "namespace": "n", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "status": {"pipelineSpec": {"tasks": [{"name": "a"}, {"name": "b"}], "finally": [{"name": "z"}]}},
        }
    )
    documents = [
        {"metadata": {"name": n, "labels": {"tekton.dev/pipelineRun": "r", "tekton.dev/pipelineTask": n}}}
        for n in ("z", "b", "unknown")
    ]
    found = {task.pipeline_task: task.index for task in read_task_runs(documents, run)}
    assert found == {"z": 2, "b": 1, "unknown": 1}


@pytest.mark.parametrize(
    ("reason", "message", "expected", "condition", "permanent"),
    [
        ("Forbidden", "exceeded quota: runs", Reason.RESOURCE_EXHAUSTED, "QuotaExceeded", False),
        ("Forbidden", 'User "x" cannot create resource', Reason.FORBIDDEN, "RBACDenied", False),
        ("Invalid", "spec.timeouts: Invalid value", Reason.CONFIGURATION_ERROR, "PipelineCreationFailed", True),
        ("Invalid", "ValidatingAdmissionPolicy 'x' denied request", Reason.UNKNOWN, "PipelineCreationFailed", False),
        ("NotFound", 'namespaces "x" not found', Reason.UNKNOWN, "PipelineCreationFailed", False),
        ("ResourceAbsent", "404", Reason.UNKNOWN, "PipelineCreationFailed", False),
    ],
)
def test_refused_creation(reason: str, message: str, expected: FailureReason, condition: str, permanent: bool) -> None:
    refused = refusal(reason, message)
    assert (refused.reason, refused.condition_reason, refused.permanent) == (expected, condition, permanent)
