"""The scripted Tekton and the real controller say the same of every kind of end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.contract.tekton.mishaps import time_is_up_when
from tests.contract.tekton.stage import LONG, Case, Ended, Stage

RESOLVING, RUNNING = "Unknown/ResolvingPipelineRef", "Unknown/Running"
NOT_PULLED = (
    'the step "main" in TaskRun "<run>-task-1" failed to pull the image "". '
    'The pod errored with the message: "Back-off pulling image "scripted/step:v1"."'
)
NO_ACCOUNT = (
    'failed to create task run pod "<run>-task-1": translating TaskSpec to Pod: '
    'serviceaccounts "nobody" not found. Maybe invalid TaskSpec'
)
POD_GONE = "Step main terminated as pod <run>-task-1-pod is terminated"
BASIC = {"conditions", "startTime", "completionTime", "pipelineSpec", "childReferences"}


def ended(
    *seen: str,
    message: str,
    task_runs: tuple[tuple[str, str, str], ...],
    steps: tuple[str, ...],
    skipped: tuple[tuple[str, str], ...] = (),
) -> Ended:
    """Return what a run with TaskRuns ends as; a step is "<exit code> <reason>: <message>"."""
    names = [f"task-{number}" for number in range(1, len(task_runs) + 1)]
    return Ended(
        seen=(RESOLVING, RUNNING, *seen),
        message=message,
        fields=frozenset(BASIC | ({"skippedTasks"} if skipped else set())),
        skipped=skipped,
        children=tuple(("TaskRun", f"<run>-{name}", name) for name in names),
        task_runs=task_runs,
        steps=tuple(("main", told) for told in steps),
        owners=frozenset({"PipelineRun"}),
    )


def refused(reason: str, message: str, fields: set[str]) -> Ended:
    """Return what a run ends as that never had a TaskRun."""
    seen = (RESOLVING, f"False/{reason}")
    return Ended(seen, message, frozenset(fields), (), (), (), (), frozenset())


def tally(completed: int, failed: int = 0, skipped: int = 0) -> str:
    return f"Tasks Completed: {completed} (Failed: {failed}, Cancelled 0), Skipped: {skipped}"


SUCCEEDED = ("True", "Succeeded", "All Steps have completed executing")
CANCELLED = 'TaskRun "<run>-task-1" was cancelled. TaskRun cancelled as the PipelineRun it belongs to has '

CASES = [
    (
        Case("success"),
        ended("True/Succeeded", message=tally(1), task_runs=(SUCCEEDED,), steps=("0 Completed: ",)),
    ),
    (
        Case("three-tasks", {"tasks": "3"}, bundle="tasks-3"),
        ended("True/Succeeded", message=tally(3), task_runs=(SUCCEEDED,) * 3, steps=("0 Completed: ",) * 3),
    ),
    (
        Case("step-failure", {"outcome": "exit", "exit-code": "3", "message": "boom"}),
        ended(
            "False/Failed",
            message=tally(1, failed=1),
            task_runs=(("False", "StepFailed", '"step-main" exited with code 3: Error'),),
            steps=("3 Error: boom",),
        ),
    ),
    (
        Case("second-of-three", {"outcome": "exit", "tasks": "3", "task": "task-2"}, bundle="tasks-3"),
        ended(
            "False/Failed",
            message=tally(2, failed=1, skipped=1),
            task_runs=(SUCCEEDED, ("False", "StepFailed", '"step-main" exited with code 1: Error')),
            steps=("0 Completed: ", "1 Error: "),
            skipped=(("task-3", "PipelineRun was stopping"),),
        ),
    ),
    (
        Case("oom", {"outcome": "oom"}),
        ended(
            "False/Failed",
            message=tally(1, failed=1),
            task_runs=(("False", "StepOOM", '"step-main" exited with code 137: OOMKilled'),),
            steps=("137 OOMKilled: ",),
        ),
    ),
    (
        Case("image-pull", {"outcome": "image-pull"}),
        ended(
            "False/Failed",
            message=tally(1, failed=1),
            task_runs=(("False", "TaskRunImagePullFailed", NOT_PULLED),),
            steps=(f"1 TaskRunImagePullFailed: {POD_GONE}",),
        ),
    ),
    (
        Case("account-missing", {"outcome": "account-missing"}, account="nobody"),
        ended(
            "False/Failed",
            message=tally(1, failed=1),
            task_runs=(("False", "PodCreationFailed", NO_ACCOUNT),),
            steps=("",),
        ),
    ),
    (
        Case("timeout", {"outcome": "hang"}, timeout="2s"),
        ended(
            "False/PipelineRunTimeout",
            message='PipelineRun "<run>" failed to finish within "2s"',
            task_runs=(("False", "TaskRunCancelled", f"{CANCELLED}timed out."),),
            steps=(f"1 TaskRunCancelled: {POD_GONE}",),
        ),
    ),
    (
        Case("cancel", {"outcome": "hang"}, cancel="CancelledRunFinally"),
        ended(
            "Unknown/CancelledRunningFinally",
            "False/Cancelled",
            message='PipelineRun "<run>" was cancelled',
            task_runs=(("False", "TaskRunCancelled", f"{CANCELLED}been cancelled."),),
            steps=(f"1 TaskRunCancelled: {POD_GONE}",),
        ),
    ),
    (
        Case("hard-cancel", {"outcome": "hang"}, cancel="Cancelled"),
        ended(
            "False/Cancelled",
            message='PipelineRun "<run>" was cancelled',
            task_runs=(("False", "TaskRunCancelled", f"{CANCELLED}been cancelled."),),
            steps=(f"1 TaskRunCancelled: {POD_GONE}",),
        ),
    ),
    (
        Case("bundle-missing", {"outcome": "bundle-missing"}, bundle="absent"),
        refused(
            "CouldntGetPipeline",
            "Error retrieving pipeline for pipelinerun <run>: resolver failed to get Pipeline : error requesting "
            'remote resource: error getting "bundleresolver" "contract-runs/bundles-<hash>": cannot retrieve the oci '
            "image: GET http://<registry>/v2/contract/run/manifests/absent: MANIFEST_UNKNOWN: Unknown manifest",
            {"conditions", "startTime", "completionTime"},
        ),
    ),
    (
        Case("parameter-missing", {"outcome": "parameter-missing"}, bundle="parameter"),
        refused(
            "ParameterMissing",
            "[User error] PipelineRun <run> is missing some parameters required by Pipeline contract-runs/workflow: "
            "pipelineRun missing parameters: [SCRIPTED]",
            {"conditions", "startTime", "completionTime", "pipelineSpec"},
        ),
    ),
]

cases = pytest.mark.parametrize(("case", "expected"), [pytest.param(*row, id=row[0].name) for row in CASES])


@cases
def test_the_scripted_tekton(scripted_stage: Stage, case: Case, expected: Ended) -> None:
    assert scripted_stage.play(case) == expected
    scripted_stage.await_no_task_runs(case)


@pytest.mark.real_tekton
@cases
def test_the_real_controller(real_stage: Stage, case: Case, expected: Ended) -> None:
    if case.timeout != LONG:
        # Given once the task runs: on a slow machine the time would be up before that.
        case = replace(case, timeout=LONG, mishap=time_is_up_when("Running", limit=case.timeout))
    assert real_stage.play(case) == expected
