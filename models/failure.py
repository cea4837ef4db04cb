"""What a failed run or a refused creation means: its class, whether a task had started, a sentence for the operator.

Sources, in order: the failed TaskRun's reason, its steps' `terminated`, then the run's own reason. Tekton's words are
those of pkg/apis/pipeline/v1 (TaskRunReason, PipelineRunReason) in v1.15.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from models.duration import format_duration
from models.run import Run, Step, TaskRun
from models.status import FailureDetails, FailureReason

_BY_TASK_RUN = {
    "StepOOM": FailureReason.OOM_KILLED,
    "SidecarOOM": FailureReason.OOM_KILLED,
    "InitContainerOOM": FailureReason.OOM_KILLED,
    "TaskRunTimeout": FailureReason.DEADLINE_EXCEEDED,
    "PodEvicted": FailureReason.RESOURCE_EXHAUSTED,
    "ExceededResourceQuota": FailureReason.RESOURCE_EXHAUSTED,
    "ExceededNodeResources": FailureReason.RESOURCE_EXHAUSTED,
    "TaskRunImagePullFailed": FailureReason.IMAGE_PULL_BACK_OFF,
    "PullImageFailed": FailureReason.IMAGE_PULL_BACK_OFF,
    "CreateContainerConfigError": FailureReason.CONFIGURATION_ERROR,
    "PodCreationFailed": FailureReason.CONFIGURATION_ERROR,
    "PodAdmissionFailed": FailureReason.FORBIDDEN,
    "TaskRunResolutionFailed": FailureReason.CONFIGURATION_ERROR,
    "TaskRunValidationFailed": FailureReason.CONFIGURATION_ERROR,
    "StepFailed": FailureReason.TASK_FAILED,
    "SidecarFailed": FailureReason.TASK_FAILED,
    "InitContainerFailed": FailureReason.TASK_FAILED,
    "TaskRunResultLargerThanAllowedLimit": FailureReason.TASK_FAILED,
    "Failed": FailureReason.TASK_FAILED,
}

_NEVER_STARTED = frozenset(
    {
        "TaskRunImagePullFailed",
        "PullImageFailed",
        "CreateContainerConfigError",
        "PodCreationFailed",
        "PodAdmissionFailed",
        "TaskRunResolutionFailed",
        "TaskRunValidationFailed",
        "ExceededResourceQuota",
        "InitContainerOOM",
        "InitContainerFailed",
    }
)

BEFORE_RUN = frozenset(
    {
        "CouldntGetPipeline",
        "CouldntGetTask",
        "ParameterMissing",
        "ParameterTypeMismatch",
        "InvalidParamValue",
        "ObjectParameterMissKeys",
        "ParamArrayIndexingInvalid",
        "InvalidWorkspaceBindings",
        "InvalidTaskRunSpecs",
        "InvalidPipelineResourceBindings",
        "PipelineInvalidGraph",
        "InvalidMatrixParameterTypes",
        "InvalidTaskResultReference",
        "InvalidPipelineResultReference",
        "CouldntGetPipelineResult",
        "RequiredWorkspaceMarkedOptional",
        "ResourceVerificationFailed",
        "CELEvaluationFailed",
        "PipelineValidationFailed",
        "CreateRunFailed",
    }
)

_ADMISSION = ("ValidatingAdmissionPolicy", "admission webhook")
"""A policy's refusal comes as Invalid too, but policies change; only a refused manifest stays refused."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The API server's answer to a creation it refused; `permanent` when our own manifest was called Invalid."""

    reason: FailureReason
    condition_reason: str
    message: str
    permanent: bool = False


def refusal(reason: str, message: str) -> Refusal:
    """Classify a refused creation by the API server's Status reason (Forbidden, Invalid, …) and its message."""
    if reason == "Invalid" and not any(words in message for words in _ADMISSION):
        return Refusal(FailureReason.CONFIGURATION_ERROR, "PipelineCreationFailed", message, permanent=True)
    if reason == "Forbidden" and "exceeded quota" in message.lower():
        return Refusal(FailureReason.RESOURCE_EXHAUSTED, "QuotaExceeded", message)
    if reason == "Forbidden":
        return Refusal(FailureReason.FORBIDDEN, "RBACDenied", message)
    return Refusal(FailureReason.UNKNOWN, "PipelineCreationFailed", message)


def had_started(run: Run, task_runs: Sequence[TaskRun]) -> bool:
    """Say whether any task of a run had begun to act; when nobody can tell, say yes: better blocked than repeated."""
    if run.reason in BEFORE_RUN:
        return False
    if not task_runs:
        return run.started_at is not None
    return any(task_started(task) for task in task_runs)


def task_started(task: TaskRun) -> bool:
    """Say whether a step of a TaskRun had begun to act."""
    return task.started and (task.succeeded is True or task.reason not in _NEVER_STARTED)


def explain_failure(run: Run, task_runs: Sequence[TaskRun], now: datetime) -> FailureDetails:
    """Return the failure details of a run that ended with False."""
    task = _culprit(task_runs)
    step = _culprit_step(task)
    reason = _classify(run, task, step)
    message = _message(run, task, step)
    ended = run.ended_at or now
    run_time = format_duration(max(ended - run.started_at, ended - ended)) if run.started_at else ""
    return FailureDetails(
        reason=reason,
        message=message,
        failed_at=ended,
        summary=_sentence(run, task, step, reason),
        started=had_started(run, task_runs),
        task_index=task.index if task else 0,
        task_name=task.pipeline_task if task else "",
        step_name=step.name if step else "",
        exit_code=step.exit_code if step else None,
        run_time=run_time,
    )


def _culprit(task_runs: Sequence[TaskRun]) -> TaskRun | None:
    failed = [task for task in task_runs if task.succeeded is False]
    return next((task for task in failed if task.reason != "TaskRunCancelled"), failed[0] if failed else None)


def _culprit_step(task: TaskRun | None) -> Step | None:
    if task is None:
        return None
    return next((step for step in task.steps if step.exit_code not in (None, 0)), None)


def _classify(run: Run, task: TaskRun | None, step: Step | None) -> FailureReason:
    if run.reason in ("PipelineRunTimeout", "TaskRunTimeout"):
        return FailureReason.DEADLINE_EXCEEDED
    if run.reason in BEFORE_RUN:
        return FailureReason.CONFIGURATION_ERROR
    if step is not None and step.reason == "OOMKilled":
        return FailureReason.OOM_KILLED
    if task is not None:
        return _BY_TASK_RUN.get(task.reason, FailureReason.UNKNOWN)
    return FailureReason.UNKNOWN


def _message(run: Run, task: TaskRun | None, step: Step | None) -> str:
    parts = [f"{run.reason}: {run.message}"]
    if task is not None:
        parts.append(f"task {task.pipeline_task}: {task.reason}: {task.message}")
    if step is not None and step.message:
        parts.append(f"step {step.name}: {step.message}")
    return "; ".join(part.strip(": ") for part in parts)[:4096]


def _sentence(run: Run, task: TaskRun | None, step: Step | None, reason: FailureReason) -> str:
    if task is None:
        return f"The run {run.name} failed before any task started ({run.reason}): {run.message}"[:1024]
    where = f"Task {task.pipeline_task!r}" + (f", step {step.name!r}," if step and step.name else "")
    match reason:
        case FailureReason.OOM_KILLED:
            what = "ran out of memory and was killed; raise its memory limit"
        case FailureReason.DEADLINE_EXCEEDED:
            what = "did not finish in time; look at what it waits for or raise executionConfig.timeout"
        case FailureReason.IMAGE_PULL_BACK_OFF:
            what = "could not start because its image could not be pulled; check the image name and the pull secret"
        case FailureReason.CONFIGURATION_ERROR:
            what = f"could not start ({task.reason}); check the service account and the task's configuration"
        case FailureReason.FORBIDDEN:
            what = f"was refused ({task.reason}); check the permissions and the pod security settings"
        case FailureReason.RESOURCE_EXHAUSTED:
            what = f"found no room ({task.reason}); check quota and node resources"
        case FailureReason.TASK_FAILED | FailureReason.UNKNOWN:
            exit_code = f" with exit code {step.exit_code}" if step and step.exit_code is not None else ""
            what = f"failed{exit_code}; its log says why"
    return f"{where} {what}."
