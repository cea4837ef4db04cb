"""The class of a failure, from what Tekton, the kubelet and the Job controller say.

Asked in this order: a reason of the failed task that leaves no doubt, its containers' `terminated`, the run's own
reason, then the task's general reason, and last the texts, on word boundaries. Sources of the words: Tekton v1.15
pkg/apis/pipeline/v1 (TaskRunReason, PipelineRunReason) and pkg/pod/status.go; Kubernetes batch/v1, core/v1 and the
kubelet's pkg/kubelet/{container,images,eviction,lifecycle}.
"""

from __future__ import annotations

import re

from models.job import FAILED_CREATE, NEVER_STARTS
from models.run import Run
from models.status import FailureReason as Reason
from models.task_run import Step, TaskRun

BEFORE_RUN = NEVER_STARTS | {
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
}
"""Reasons with which Tekton refuses a run, and with which we stop a Job, before any task acts."""

CUT_OFF = ("TaskRunCancelled",)
"""Reasons of a task that ended because its run did, or because somebody cancelled just this task."""

_BY_TASK = {
    # Tekton
    "StepOOM": Reason.OOM_KILLED,
    "SidecarOOM": Reason.OOM_KILLED,
    "InitContainerOOM": Reason.OOM_KILLED,
    "TaskRunTimeout": Reason.DEADLINE_EXCEEDED,
    "PodEvicted": Reason.RESOURCE_EXHAUSTED,
    "ExceededResourceQuota": Reason.RESOURCE_EXHAUSTED,
    "ExceededNodeResources": Reason.RESOURCE_EXHAUSTED,
    "TaskRunImagePullFailed": Reason.IMAGE_PULL_BACK_OFF,
    "PullImageFailed": Reason.IMAGE_PULL_BACK_OFF,
    "CreateContainerConfigError": Reason.CONFIGURATION_ERROR,
    "PodCreationFailed": Reason.CONFIGURATION_ERROR,
    "PodAdmissionFailed": Reason.FORBIDDEN,
    "TaskRunResolutionFailed": Reason.CONFIGURATION_ERROR,
    "TaskRunValidationFailed": Reason.CONFIGURATION_ERROR,
    "TaskValidationFailed": Reason.CONFIGURATION_ERROR,
    "ResourceVerificationFailed": Reason.CONFIGURATION_ERROR,
    "InvalidParamValue": Reason.CONFIGURATION_ERROR,
    # the kubelet, of the pod of a Job
    "OOMKilled": Reason.OOM_KILLED,
    "DeadlineExceeded": Reason.DEADLINE_EXCEEDED,
    "Evicted": Reason.RESOURCE_EXHAUSTED,
    "Preempting": Reason.RESOURCE_EXHAUSTED,
    "OutOfcpu": Reason.RESOURCE_EXHAUSTED,
    "OutOfmemory": Reason.RESOURCE_EXHAUSTED,
    "OutOfephemeral-storage": Reason.RESOURCE_EXHAUSTED,
    "OutOfpods": Reason.RESOURCE_EXHAUSTED,
    "Unschedulable": Reason.RESOURCE_EXHAUSTED,
    "ImagePullBackOff": Reason.IMAGE_PULL_BACK_OFF,
    "ErrImagePull": Reason.IMAGE_PULL_BACK_OFF,
    "ErrImageNeverPull": Reason.IMAGE_PULL_BACK_OFF,
    "InvalidImageName": Reason.IMAGE_PULL_BACK_OFF,
    "CreateContainerError": Reason.CONFIGURATION_ERROR,
    "StartError": Reason.CONFIGURATION_ERROR,
    "ContainerCannotRun": Reason.CONFIGURATION_ERROR,
    "RunContainerError": Reason.CONFIGURATION_ERROR,
}
_BY_STEP = {
    "OOMKilled": Reason.OOM_KILLED,
    "DeadlineExceeded": Reason.DEADLINE_EXCEEDED,
    "Evicted": Reason.RESOURCE_EXHAUSTED,
    "StartError": Reason.CONFIGURATION_ERROR,
    "ContainerCannotRun": Reason.CONFIGURATION_ERROR,
}
_BY_RUN = {
    **dict.fromkeys(BEFORE_RUN, Reason.CONFIGURATION_ERROR),
    **{reason: _BY_TASK[reason] for reason in NEVER_STARTS if reason in _BY_TASK},
    "PipelineValidationFailed": Reason.CONFIGURATION_ERROR,
    "PipelineRunTimeout": Reason.DEADLINE_EXCEEDED,
    "TaskRunTimeout": Reason.DEADLINE_EXCEEDED,
    "DeadlineExceeded": Reason.DEADLINE_EXCEEDED,
    "Cancelled": Reason.UNKNOWN,
    "CancelledRunFinally": Reason.UNKNOWN,
    "StoppedRunFinally": Reason.UNKNOWN,
}
_GENERAL = frozenset(
    {
        "StepFailed",
        "SidecarFailed",
        "InitContainerFailed",
        "TaskRunResultLargerThanAllowedLimit",
        "Failed",
        "Error",
        "PodFailurePolicy",
    }
)
_STEP_TIMEOUT = "exceeded the specified timeout limit"
"""How Tekton says of a step's own timeout that it struck; its reason is StepFailed like any other's."""

_BY_TEXT = tuple(
    (re.compile(rf"\b(?:{words})\b", re.IGNORECASE), reason)
    for words, reason in (
        (r"OOM|OOMKilled|out of memory", Reason.OOM_KILLED),
        (r"exceeded quota|resource quota|evicted|insufficient \w+", Reason.RESOURCE_EXHAUSTED),
        (r"ImagePullBackOff|ErrImagePull|pull(?:ing)? (?:the )?image", Reason.IMAGE_PULL_BACK_OFF),
        (r"serviceaccounts? \S+ not found|error looking up service account", Reason.CONFIGURATION_ERROR),
        (r"forbidden|unauthorized|permission denied|violates PodSecurity", Reason.FORBIDDEN),
        (r"deadline exceeded|timed? ?out|timeout", Reason.DEADLINE_EXCEEDED),
    )
)


def classify(run: Run, task: TaskRun | None, step: Step | None) -> Reason:
    """Return the class of a run that failed, with the task and the container that failed it."""
    if task is not None and _timed_out(run, task) and task.waited[0] in _BY_TASK:
        return _BY_TASK[task.waited[0]]
    if task is not None and task.reason in _BY_TASK:
        return _BY_TASK[task.reason]
    if step is not None and step.reason in _BY_STEP:
        return _BY_STEP[step.reason]
    if FAILED_CREATE in (run.reason, task.reason if task else ""):
        return _by_text(run, task) or Reason.CONFIGURATION_ERROR
    if run.reason in _BY_RUN:
        return _BY_RUN[run.reason]
    if task is not None and task.reason in CUT_OFF:
        return Reason.UNKNOWN
    if task is not None and _STEP_TIMEOUT in task.message:
        return Reason.DEADLINE_EXCEEDED
    if task is not None and task.reason in _GENERAL:
        return Reason.TASK_FAILED
    if step is not None and step.exit_code is not None:
        return Reason.TASK_FAILED
    return _by_text(run, task) or Reason.UNKNOWN


def _timed_out(run: Run, task: TaskRun) -> bool:
    return "TaskRunTimeout" in (task.reason, run.reason) or run.reason == "PipelineRunTimeout"


def _by_text(run: Run, task: TaskRun | None) -> Reason | None:
    text = f"{run.message} {task.message if task is not None else ''}"
    return next((reason for pattern, reason in _BY_TEXT if pattern.search(text)), None)
