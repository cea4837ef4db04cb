"""What a failed run or a refused creation means: its class, whether a task had started, what to know and do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from models.duration import format_span
from models.failure_classes import BEFORE_RUN, CUT_OFF, classify
from models.failure_words import sentence
from models.run import Run
from models.status import FailureDetails, FailureReason
from models.task_run import Step, TaskRun

_ADMISSION = ("ValidatingAdmissionPolicy", "admission webhook")
"""A policy's refusal comes as Invalid too, but policies change; only a refused manifest stays refused."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The API server's answer to a creation it refused; `permanent` when our own manifest was called Invalid."""

    reason: FailureReason
    condition_reason: str
    message: str
    permanent: bool = False


_IMAGE = re.compile(
    r"\b(ErrImagePull|ImagePullBackOff|image pull|(pull|verify|resolve)(ing)? (the )?image)\b", re.IGNORECASE
)
"""What admission that looks at images (signatures, digests, registries) says when it cannot have one."""


def refusal(reason: str, message: str, said: str = "") -> Refusal:
    """Classify a refused creation by the API server's Status reason (Forbidden, Invalid, …) and its message.

    `said` is that message before values were blanked in it, where it was: one of them may have been an ordinary word.
    """
    said = said or message
    if reason == "Invalid" and not any(words in said for words in _ADMISSION):
        return Refusal(FailureReason.CONFIGURATION_ERROR, "PipelineCreationFailed", message, permanent=True)
    if reason == "Forbidden" and "exceeded quota" in said.lower():
        return Refusal(FailureReason.RESOURCE_EXHAUSTED, "QuotaExceeded", message)
    if reason == "Forbidden":
        return Refusal(FailureReason.FORBIDDEN, "RBACDenied", message)
    if _IMAGE.search(said):
        return Refusal(FailureReason.IMAGE_PULL_BACK_OFF, "ImagePullFailed", message)
    return Refusal(FailureReason.UNKNOWN, "PipelineCreationFailed", message)


def had_started(run: Run, task_runs: Sequence[TaskRun]) -> bool:
    """Say whether any task of a run had begun to act; when nobody can tell, say yes: better blocked than repeated.

    Tasks that can be read decide alone. A run's own reason says nothing against them: some of Tekton's reasons from
    before the run are given in the midst of it, too, as when the result of an earlier task is missing.
    """
    if task_runs:
        return any(task.started for task in task_runs)
    return run.reason not in BEFORE_RUN and run.started_at is not None


def explain_failure(run: Run, task_runs: Sequence[TaskRun], now: datetime) -> FailureDetails:
    """Return the failure details of a run that ended with False."""
    task = _culprit(task_runs)
    step = _culprit_step(task)
    started = had_started(run, task_runs)
    reason = classify(run, task, step)
    ended = run.ended_at or now
    run_time = format_span(run.started_at, ended) if run.started_at else ""
    return FailureDetails(
        reason=reason,
        message=_message(run, task, step),
        failed_at=ended,
        summary=sentence(run, task, step, reason, started=started),
        started=started,
        task_index=task.index if task else 0,
        task_name=task.pipeline_task if task else "",
        step_name=step.name if step else "",
        exit_code=step.exit_code if step else None,
        run_time=run_time,
    )


def _culprit(task_runs: Sequence[TaskRun]) -> TaskRun | None:
    """Return the task that failed; behind it one that was only cut off, and last one that goes on.

    A run that is timed out or cancelled turns final some milliseconds before its TaskRuns do.
    """
    failed = [task for task in task_runs if task.succeeded is False]
    by_itself = [task for task in failed if task.reason not in CUT_OFF]
    going = [task for task in task_runs if task.succeeded is None]
    return next(iter((*by_itself, *failed, *going)), None)


def _culprit_step(task: TaskRun | None) -> Step | None:
    """Return the container that failed: a step, else a sidecar, unless Tekton blames that; last a step that waits."""
    if task is None:
        return None
    blamed = task.reason.startswith("Sidecar")
    containers = (*task.sidecars, *task.steps) if blamed else (*task.steps, *task.sidecars)
    failed = [step for step in containers if step.exit_code not in (None, 0)]
    return next(iter((*failed, *(step for step in containers if step.waits_in_vain))), None)


def _message(run: Run, task: TaskRun | None, step: Step | None) -> str:
    parts = [f"{run.reason}: {run.message}"]
    if task is not None and not (task.message and task.message in run.message):
        # In one line: kubectl shows no more than the first line of an Event.
        parts.append(f"task {task.pipeline_task}: {task.reason}: {' '.join(task.message.split())}")
    if step is not None and step.message and (task is None or step.message not in task.message):
        parts.append(f"step {step.name}: {step.message}")
    return "; ".join(part.strip(": ") for part in parts)[:4096]
