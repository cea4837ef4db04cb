"""A failure in one or two plain sentences: what happened, where, and what to do next."""

from __future__ import annotations

from models.run import Run
from models.status import FailureReason
from models.task_run import Step, TaskRun

SENTENCE_MAX = 1024
SAID_MAX = 400


def sentence(run: Run, task: TaskRun | None, step: Step | None, reason: FailureReason, *, started: bool) -> str:
    """Say what failed, and what the operator should do about it."""
    what = f"{_where(run, task, step)} {_what(run, task, step, reason)}"
    return f"{what[: SENTENCE_MAX - 200].rstrip('.')}. {_next(run, started=started)}"


def _where(run: Run, task: TaskRun | None, step: Step | None) -> str:
    if task is None:
        return f"{run.kind} {run.name}"
    return f"Task {task.pipeline_task!r}" + (f", step {step.name!r}," if step and step.name else "")


def _what(run: Run, task: TaskRun | None, step: Step | None, reason: FailureReason) -> str:
    said = _said(run, task, step)
    match reason:
        case FailureReason.OOM_KILLED:
            return "ran out of memory and was killed: raise its memory limit"
        case FailureReason.DEADLINE_EXCEEDED:
            waited = f" {said}" if task is not None and task.waited[0] else ""
            return f"did not finish in time{waited}: look at what it waited for, or raise executionConfig.timeout"
        case FailureReason.IMAGE_PULL_BACK_OFF:
            return f"could not start because its image could not be pulled {said}: check its name and the pull secret"
        case FailureReason.CONFIGURATION_ERROR:
            return (
                f"cannot run as configured {said}: check the workflow's image, its parameters and the service account"
            )
        case FailureReason.FORBIDDEN:
            return f"was refused {said}: check the permissions and the pod security of the execution namespace"
        case FailureReason.RESOURCE_EXHAUSTED:
            return f"found no room {said}: check the quota and the nodes' resources"
        case FailureReason.TASK_FAILED:
            return f"failed{_exit(step) or ' ' + said}: its log says why"
        case FailureReason.UNKNOWN:
            return f"failed {said}"


def _said(run: Run, task: TaskRun | None, step: Step | None) -> str:
    """Return in brackets what was said of the failure, by whoever was nearest to it."""
    if task is None:
        return f"({run.reason}: {run.message})"
    reason, words = task.waited
    if not reason:
        near = step is not None and step.waits_in_vain and step.message
        reason, words = task.reason, near or task.message
    words = " ".join(words.split())[:SAID_MAX].rstrip(".")
    return f"({reason}: {words})" if words else f"({reason})"


def _exit(step: Step | None) -> str:
    if step is None or step.exit_code is None:
        return ""
    told = f" ({' '.join(step.message.split())[:200]})" if step.message else ""
    return f" with exit code {step.exit_code}{told}"


def _next(run: Run, *, started: bool) -> str:
    if not started:
        return "No task had started, so the target was not touched."
    return f"It may have changed the target: look at {run.target or 'it'} before anything else is run on it."
