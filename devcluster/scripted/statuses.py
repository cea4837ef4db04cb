"""Decide what Tekton writes at each moment of a run's course.

Pure: a course, a moment and the instants of the moments so far go in, API writes come out, in Tekton's order: a
TaskRun is written before its PipelineRun, except at a timeout and a cancel, where the PipelineRun is first (who reads
TaskRuns at the final watch event may see one that is not final). Reasons and messages are those of Tekton v1.15.
Instants are whole seconds, as Tekton's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from devcluster.scripted import go_duration
from devcluster.scripted.course import DEFAULT_TIMEOUT, Course, Kind, Moment
from devcluster.scripted.direction import Ending
from devcluster.scripted.task_statuses import (
    Document,
    Instants,
    condition,
    stamp,
    task_run_document,
    task_run_status,
    task_spec,
)

SKIPPED: Final = {
    Kind.FINISH: "PipelineRun was stopping",
    Kind.CANCELLED: "PipelineRun was gracefully cancelled",
    Kind.TIMED_OUT: "PipelineRun timeout has been reached",
}


@dataclass(frozen=True, slots=True)
class CreateTaskRun:
    """Create a TaskRun."""

    document: Document


@dataclass(frozen=True, slots=True)
class PatchTaskRun:
    """Merge into a TaskRun's status."""

    name: str
    status: Document


@dataclass(frozen=True, slots=True)
class PatchRun:
    """Merge into the PipelineRun's status."""

    status: Document


Write: TypeAlias = CreateTaskRun | PatchTaskRun | PatchRun


def writes(course: Course, moment: Moment, at: Instants) -> tuple[Write, ...]:
    """Return the writes of a moment; `at` holds its instant and those of the moments before it."""
    run = PatchRun(_run_status(course, moment, at))
    if not course.has_task_runs:
        return (run,)
    task_run = PatchTaskRun(course.task_run(moment.task), task_run_status(course, moment, at))
    match moment.kind:
        case Kind.BEGIN:
            return (CreateTaskRun(task_run_document(course, moment.task)), run)
        case Kind.STEP | Kind.END:
            return (task_run,)
        case Kind.CANCELLED | Kind.TIMED_OUT if Moment(Kind.BEGIN, moment.task) in at:
            return (run, task_run)
        case _:
            return (run,)


def _run_status(course: Course, moment: Moment, at: Instants) -> Document:
    now, names = at[moment], course.direction.task_names()
    status, reason, message = _run_condition(course, moment)
    document: Document = {
        "startTime": stamp(min(at.values())),
        "conditions": [condition(status, reason, message, now)],
    }
    if status != "Unknown":
        document["completionTime"] = stamp(now)
        skipped = [] if course.direction.ending.is_before_run else names[moment.task + 1 :]
        if skipped:
            document["skippedTasks"] = [{"name": name, "reason": SKIPPED[moment.kind]} for name in skipped]
    if moment.kind is Kind.BEGIN or (course.direction.ending is Ending.PARAMETER_MISSING and status != "Unknown"):
        document["pipelineSpec"] = {"tasks": [{"name": name, "taskSpec": task_spec()} for name in names]}
        if course.has_task_runs:
            document["childReferences"] = [_child(course, task) for task in range(moment.task + 1)]
    return document


def _run_condition(course: Course, moment: Moment) -> tuple[str, str, str]:
    names, ending = course.direction.task_names(), course.direction.ending
    match moment.kind:
        case Kind.RESOLVE:
            where = f"{course.namespace}/{course.name}"
            return "Unknown", "ResolvingPipelineRef", f"PipelineRun {where} awaiting remote resource"
        case Kind.STOPPING:
            return "Unknown", "CancelledRunningFinally", _tally(moment.task, incomplete=1)
        case Kind.CANCELLED:
            return "False", "Cancelled", f'PipelineRun "{course.name}" was cancelled'
        case Kind.TIMED_OUT:
            limit = go_duration.text(course.timeout or DEFAULT_TIMEOUT)
            return "False", "PipelineRunTimeout", f'PipelineRun "{course.name}" failed to finish within "{limit}"'
        case Kind.FINISH if ending.is_before_run:
            return _refusal(course)
        case Kind.FINISH:
            failed = course.direction.of(names[moment.task]) is not Ending.SUCCESS
            tally = _tally(moment.task + 1, failed=int(failed), skipped=len(names) - moment.task - 1)
            return ("False", "Failed", tally) if failed else ("True", "Succeeded", tally)
        case _:
            return "Unknown", "Running", _tally(moment.task, incomplete=len(names) - moment.task)


def _refusal(course: Course) -> tuple[str, str, str]:
    run, namespace = f"{course.namespace}/{course.name}", course.namespace
    if course.direction.ending is Ending.PARAMETER_MISSING:
        asked = f"[User error] PipelineRun {run} is missing some parameters required by Pipeline {namespace}/workflow"
        return "False", "ParameterMissing", f"{asked}: pipelineRun missing parameters: [SCRIPTED]"
    registry, _, rest = course.bundle.partition("/")
    name, _, tag = rest.partition(":")
    causes = (
        f"Error retrieving pipeline for pipelinerun {run}",
        "resolver failed to get Pipeline ",
        "error requesting remote resource",
        f'error getting "bundleresolver" "{namespace}/bundles-scripted"',
        "cannot retrieve the oci image",
        f"GET http://{registry}/v2/{name}/manifests/{tag or 'latest'}",
        "MANIFEST_UNKNOWN",
        "Unknown manifest",
    )
    return "False", "CouldntGetPipeline", ": ".join(causes)


def _child(course: Course, task: int) -> Document:
    return {
        "apiVersion": "tekton.dev/v1",
        "kind": "TaskRun",
        "name": course.task_run(task),
        "pipelineTaskName": course.direction.task_names()[task],
    }


def _tally(completed: int, *, failed: int = 0, incomplete: int = 0, skipped: int = 0) -> str:
    left = f"Incomplete: {incomplete}, " if incomplete else ""
    return f"Tasks Completed: {completed} (Failed: {failed}, Cancelled 0), {left}Skipped: {skipped}"
