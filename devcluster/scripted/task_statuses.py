"""Decide what stands in a TaskRun: the document Tekton creates, and its status at each moment of the run's course.

Pure; reasons and messages are those of Tekton v1.15. Each TaskRun has one step.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypeAlias

from devcluster import annotations as words
from devcluster.scripted.course import Course, Kind, Moment
from devcluster.scripted.direction import Ending

STEP: Final = "main"
IMAGE: Final = "scripted/step:v1"

Document: TypeAlias = dict[str, Any]
Instants: TypeAlias = Mapping[Moment, datetime]


def task_run_document(course: Course, task: int) -> Document:
    """Return the TaskRun of a pipeline task as Tekton creates it."""
    name = course.direction.task_names()[task]
    owner = {"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "name": course.name, "uid": course.uid}
    return {
        "apiVersion": "tekton.dev/v1",
        "kind": "TaskRun",
        "metadata": {
            "name": course.task_run(task),
            "namespace": course.namespace,
            "labels": {
                **course.labels,
                "app.kubernetes.io/managed-by": "tekton-pipelines",
                "tekton.dev/memberOf": "tasks",
                "tekton.dev/pipelineRun": course.name,
                "tekton.dev/pipelineRunUID": course.uid,
                "tekton.dev/pipelineTask": name,
            },
            "annotations": dict(course.annotations),
            "ownerReferences": [owner | {"controller": True, "blockOwnerDeletion": True}],
        },
        "spec": {"serviceAccountName": course.service_account, "taskSpec": task_spec()},
    }


def task_run_status(course: Course, moment: Moment, at: Instants) -> Document:
    """Return the status of the moment's TaskRun."""
    name, now = course.task_run(moment.task), at[moment]
    begun = at.get(Moment(Kind.BEGIN, moment.task), now)
    status, reason, message = _task_run_condition(course, moment)
    document: Document = {
        "startTime": stamp(begun),
        "conditions": [condition(status, reason, message, now)],
        "taskSpec": task_spec(),
    }
    if status != "Unknown":
        document["completionTime"] = stamp(now)
    if course.direction.of(course.direction.task_names()[moment.task]) is Ending.ACCOUNT_MISSING:
        # Tekton lists the steps of a pod that never was, without any state.
        return document | {"podName": "", "steps": [{"name": STEP}]}
    return document | {"podName": f"{name}-pod", "steps": [_step(course, moment, at)]}


def _task_run_condition(course: Course, moment: Moment) -> tuple[str, str, str]:
    name, direction = course.task_run(moment.task), course.direction
    ending = direction.of(direction.task_names()[moment.task])
    back_off = f'Back-off pulling image "{IMAGE}"'
    match moment.kind, ending:
        case (Kind.STEP, Ending.IMAGE_PULL):
            return "Unknown", "PullImageFailed", f'build step "step-{STEP}" is pending with reason "{back_off}"'
        case (Kind.STEP, _):
            return "Unknown", "Running", "Not all Steps in the Task have finished executing"
        case (Kind.CANCELLED, _):
            why = "TaskRun cancelled as the PipelineRun it belongs to has been cancelled."
            return "False", "TaskRunCancelled", f'TaskRun "{name}" was cancelled. {why}'
        case (Kind.TIMED_OUT, _):
            why = "TaskRun cancelled as the PipelineRun it belongs to has timed out."
            return "False", "TaskRunCancelled", f'TaskRun "{name}" was cancelled. {why}'
        case (_, Ending.EXIT):
            return "False", "StepFailed", f'"step-{STEP}" exited with code {direction.exit_code}: Error'
        case (_, Ending.OOM):
            code = words.OOM_EXIT_CODE
            return "False", "StepOOM", f'"step-{STEP}" exited with code {code}: OOMKilled'
        case (_, Ending.IMAGE_PULL):
            why = f'the step "{STEP}" in TaskRun "{name}" failed to pull the image "".'
            return "False", "TaskRunImagePullFailed", f'{why} The pod errored with the message: "{back_off}."'
        case (_, Ending.ACCOUNT_MISSING):
            why = f'translating TaskSpec to Pod: serviceaccounts "{course.service_account}" not found'
            return (
                "False",
                "PodCreationFailed",
                f'failed to create task run pod "{name}": {why}. Maybe invalid TaskSpec',
            )
        case _:
            return "True", "Succeeded", "All Steps have completed executing"


def _step(course: Course, moment: Moment, at: Instants) -> Document:
    direction, now = course.direction, at[moment]
    ending = direction.of(direction.task_names()[moment.task])
    step: Document = {"name": STEP, "container": f"step-{STEP}"}
    began = stamp(at.get(Moment(Kind.STEP, moment.task), now))
    if moment.kind is Kind.STEP:
        if ending is Ending.IMAGE_PULL:
            back_off = {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{IMAGE}"'}
            return step | {"waiting": back_off}
        return step | {"imageID": IMAGE, "running": {"startedAt": began}}
    code, reason, message = _termination(course, moment, ending)
    terminated: Document = {"exitCode": code, "reason": reason, "finishedAt": stamp(now)}
    if message:
        terminated["message"] = message
    # A step that only waited for its image never began: Tekton gives it the creation of its TaskRun, which only the
    # API server knows.
    if ending is not Ending.IMAGE_PULL:
        terminated["startedAt"] = began
        step["imageID"] = IMAGE
    return step | {"terminated": terminated, "terminationReason": reason}


def _termination(course: Course, moment: Moment, ending: Ending) -> tuple[int, str, str]:
    pod_gone = f"Step {STEP} terminated as pod {course.task_run(moment.task)}-pod is terminated"
    match moment.kind, ending:
        case (Kind.CANCELLED | Kind.TIMED_OUT, _):
            return 1, "TaskRunCancelled", pod_gone
        case (_, Ending.IMAGE_PULL):
            return 1, "TaskRunImagePullFailed", pod_gone
        case (_, Ending.EXIT):
            return course.direction.exit_code, "Error", course.direction.message
        case (_, Ending.OOM):
            return words.OOM_EXIT_CODE, "OOMKilled", course.direction.message
        case _:
            return 0, "Completed", course.direction.message


def task_spec() -> Document:
    """Return the Task that every scripted pipeline task has."""
    return {"steps": [{"name": STEP, "image": IMAGE, "command": ["true"], "computeResources": {}}]}


def condition(status: str, reason: str, message: str, now: datetime) -> Document:
    """Return a Succeeded condition."""
    return {
        "type": "Succeeded",
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": stamp(now),
    }


def stamp(instant: datetime) -> str:
    """Write an instant as the API server does, in whole seconds."""
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")
