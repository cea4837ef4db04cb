"""Failures of the real controller that no annotation asks for, read by us, with what the operator is told."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from models.failure import explain_failure
from models.run import read_run
from models.status import FailureDetails, FailureReason
from models.task_run import read_task_runs
from tests.contract.tekton.mishaps import (
    NOWHERE,
    OUT_OF_TIME,
    cancel_task,
    ended,
    failed,
    no_pods,
    no_task_runs,
    node_says,
    pending,
    time_is_up_when,
    waits,
    wrong_bundles,
)
from tests.contract.tekton.stage import API, Case, Stage

pytestmark = [pytest.mark.real_tekton, pytest.mark.timeout(240)]

Reason = FailureReason
NOW = datetime(2100, 1, 1, tzinfo=UTC)
HANG = {"outcome": "hang"}
UNTOUCHED, TOUCHED = "so the target was not touched.", "before anything else is run on it."
INITIALISING = waits("step-main", "PodInitializing")


@pytest.fixture(scope="module")
def stage(real_stage: Stage) -> Stage:
    """Give the real controller, with the wrong bundles published, too."""
    for name, documents in wrong_bundles().items():
        real_stage.publish(name, documents)
    return real_stage


def read(stage: Stage, case: Case) -> FailureDetails:
    _, run, task_runs = stage.perform(case)
    stage.client.request("DELETE", f"{API}/pipelineruns/{case.run}")
    found = read_run(run)
    assert found.succeeded is False
    details = explain_failure(found, read_task_runs(task_runs, found), NOW)
    assert details.run_time
    assert details.summary.endswith(TOUCHED if details.started else UNTOUCHED), details.summary
    return details


WRONG = [
    ("workspace", "InvalidWorkspaceBindings", False),
    ("array", "ParameterTypeMismatch", False),
    ("keys", "ObjectParameterMissKeys", False),
    ("index", "ParamArrayIndexingInvalid", False),
    ("circle", "PipelineInvalidGraph", False),
    ("result", "InvalidTaskResultReference", False),
    ("pipeline-result", "InvalidPipelineResultReference", False),
    ("optional", "RequiredWorkspaceMarkedOptional", False),
    ("matrix", "InvalidMatrixParameterTypes", False),
    # Not on Tekton's list of reasons from before a run, and there is no task to say otherwise.
    ("task-parameter", "PipelineValidationFailed", True),
    # By then the task that was to write the result has run.
    ("unwritten", "CouldntGetPipelineResult", True),
    ("unwritten-used", "PipelineValidationFailed", True),
]


@pytest.mark.parametrize(("bundle", "tekton", "started"), WRONG)
def test_pipeline_that_is_wrong(stage: Stage, bundle: str, tekton: str, started: bool) -> None:
    details = read(stage, Case(f"m-{bundle}", bundle=bundle, params={"LIST": "no list"} if bundle == "array" else {}))
    assert (details.reason, details.started) == (Reason.CONFIGURATION_ERROR, started), details
    assert (details.task_name, details.step_name, details.exit_code) == ("", "", None)
    assert details.message.startswith(f"{tekton}: ")
    assert f"cannot run as configured ({tekton}: " in details.summary


# A case, the class, whether a task had started, the container to blame and its exit code, what the operator reads.
ROWS = [
    (
        Case(
            "m-init",
            pod_template=NOWHERE,
            mishap=node_says(failed(INITIALISING, initContainerStatuses=[ended("prepare", 2, "Error")])),
        ),
        (Reason.TASK_FAILED, False, "", None),
        'failed (InitContainerFailed: init container failed, "prepare" exited with code 2: Error)',
    ),
    (
        Case(
            "m-init-oom",
            pod_template=NOWHERE,
            mishap=node_says(failed(INITIALISING, initContainerStatuses=[ended("prepare", 137, "OOMKilled")])),
        ),
        (Reason.OOM_KILLED, False, "", None),
        "ran out of memory and was killed",
    ),
    (
        Case(
            "m-sidecar",
            HANG,
            bundle="sidecar",
            mishap=node_says(failed(ended("step-main", 143, "Error"), ended("sidecar-log", 2, "Error"))),
        ),
        (Reason.TASK_FAILED, True, "log", 2),
        "failed with exit code 2",
    ),
    (
        Case(
            "m-sidecar-oom",
            HANG,
            bundle="sidecar",
            mishap=node_says(failed(ended("step-main", 143, "Error"), ended("sidecar-log", 137, "OOMKilled"))),
        ),
        (Reason.OOM_KILLED, True, "log", 137),
        "ran out of memory and was killed",
    ),
    (
        Case("m-step-time", HANG, mishap=node_says(failed(ended("step-main", 1, "Error", OUT_OF_TIME)))),
        (Reason.DEADLINE_EXCEEDED, True, "main", 1),
        "did not finish in time",
    ),
    (
        Case("m-no-process", HANG, mishap=node_says(failed(ended("step-main", 128, "StartError", "exec: not found")))),
        (Reason.CONFIGURATION_ERROR, False, "main", 128),
        "cannot run as configured",
    ),
    (
        Case(
            "m-config",
            pod_template=NOWHERE,
            mishap=node_says(pending(waits("step-main", "CreateContainerConfigError", 'secret "x" not found'))),
        ),
        (Reason.CONFIGURATION_ERROR, False, "main", None),
        'cannot run as configured (CreateContainerConfigError: secret "x" not found)',
    ),
    (
        Case(
            "m-container",
            pod_template=NOWHERE,
            mishap=node_says(pending(waits("step-main", "CreateContainerError", "no such mount"))),
        ),
        (Reason.CONFIGURATION_ERROR, False, "main", 1),
        "no such mount",
    ),
    (
        Case(
            "m-image-name",
            pod_template=NOWHERE,
            mishap=node_says(pending(waits("step-main", "InvalidImageName", "no such name"))),
        ),
        (Reason.IMAGE_PULL_BACK_OFF, False, "main", 1),
        "no such name",
    ),
    (
        Case(
            "m-pulling",
            pod_template=NOWHERE,
            mishap=time_is_up_when(
                "PullImageFailed", node_says(pending(waits("step-main", "ErrImagePull", "not found")))
            ),
        ),
        (Reason.IMAGE_PULL_BACK_OFF, False, "main", 1),
        "could not be pulled (PullImageFailed: ",
    ),
    (
        Case("m-too-big", bundle="too-big", mishap=time_is_up_when("ExceededNodeResources")),
        (Reason.RESOURCE_EXHAUSTED, False, "", None),
        "found no room (ExceededNodeResources: ",
    ),
    (
        Case("m-step-absent", bundle="step-absent"),
        (Reason.CONFIGURATION_ERROR, False, "", None),
        'cannot run as configured (TaskRunResolutionFailed: failed to resolve step ref for step "main"',
    ),
    (
        Case("m-task-cancelled", HANG, mishap=cancel_task),
        (Reason.UNKNOWN, True, "main", 1),
        "was cancelled. not today",
    ),
    (
        Case(
            "m-second-try",
            pod_template=NOWHERE,
            bundle="two-tries",
            mishap=node_says(
                failed(ended("step-main", 3, "Error")), pending(waits("step-main", "ImagePullBackOff", "Back-off"))
            ),
        ),
        (Reason.IMAGE_PULL_BACK_OFF, True, "main", 1),
        "could not be pulled",
    ),
]


@pytest.mark.parametrize(("case", "expected", "words"), [pytest.param(*row, id=row[0].name) for row in ROWS])
def test_mishap(stage: Stage, case: Case, expected: tuple[FailureReason, bool, str, int | None], words: str) -> None:
    details = read(stage, case)
    assert (details.reason, details.started, details.step_name, details.exit_code) == expected, details
    assert (details.task_name, details.task_index) == ("task-1", 0)
    assert words in details.summary


def test_quota_that_allows_no_pod_until_time_is_up(stage: Stage) -> None:
    with no_pods(stage):
        details = read(stage, Case("m-quota", mishap=time_is_up_when("ExceededResourceQuota")))
    assert (details.reason, details.started, details.task_name) == (Reason.RESOURCE_EXHAUSTED, False, "task-1")
    assert "found no room (ExceededResourceQuota: " in details.summary
    assert "exceeded quota: none" in details.summary


def test_policy_that_refuses_the_tasks_of_a_run(stage: Stage) -> None:
    case = Case("m-refused")
    with no_task_runs(stage, case):
        details = read(stage, case)
    # Not on Tekton's list of reasons from before a run, and there is no task to say otherwise.
    assert (details.reason, details.started, details.task_name) == (Reason.FORBIDDEN, True, "")
    assert "was refused (CreateRunFailed: " in details.summary
    assert "no tasks today" in details.summary
