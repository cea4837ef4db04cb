"""A Job (batch/v1) as a run, and its pods as its task.

A Job ends with its condition Complete or Failed, which its controller writes when no pod of it is left alive
(batch/v1 types.go, JobConditionType). One that we stopped ends when it is suspended and its pods are gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from models.execution import Engine
from models.instants import parse_instant, read_instant
from models.names import ANNOTATION_STOPPED
from models.run import Run, named_secrets
from models.task_run import Step, TaskRun, read_step

CONTAINER = "workflow"
STUCK = frozenset(
    {
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "CreateContainerConfigError",
        "CreateContainerError",
    }
)
"""Waiting reasons of the kubelet that nothing but a change of the pod or the cluster ends. ErrImagePull is not among
them: it becomes ImagePullBackOff when it lasts."""
FAILED_CREATE = "FailedCreate"
"""Reason of the Job controller's Kubernetes Event when the API server refuses a pod."""
NEVER_STARTS = STUCK | {FAILED_CREATE}


def read_job(document: Mapping[str, Any]) -> Run:
    """Read a batch/v1 Job."""
    metadata, status = document["metadata"], document.get("status") or {}
    annotations = metadata.get("annotations") or {}
    succeeded, reason, message, ended = _outcome(document, annotations.get(ANNOTATION_STOPPED))
    going = succeeded is None and not metadata.get("deletionTimestamp")
    return Run(
        name=metadata["name"],
        engine=Engine.JOB,
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        created_at=parse_instant(metadata["creationTimestamp"]),
        deleting=bool(metadata.get("deletionTimestamp")),
        labels=metadata.get("labels") or {},
        annotations=annotations,
        succeeded=succeeded,
        reason=reason,
        message=message,
        started_at=None if _never_had_pods(succeeded, reason, status) else read_instant(status.get("startTime")),
        ended_at=read_instant(ended),
        total_tasks=1,
        task_names=(CONTAINER,),
        cancelling=ANNOTATION_STOPPED in annotations,
        waits_for_pod=going and ANNOTATION_STOPPED not in annotations and not status.get("ready"),
        secrets=job_secrets(document),
    )


def job_secrets(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the values that a Job, or the manifest of one, must not be quoted with."""
    pod = ((document.get("spec") or {}).get("template") or {}).get("spec") or {}
    containers = (*(pod.get("initContainers") or ()), *(pod.get("containers") or ()))
    return tuple(secret for container in containers for secret in named_secrets(container.get("env")))


def _outcome(job: Mapping[str, Any], stopped: str | None) -> tuple[bool | None, str, str, str | None]:
    status = job.get("status") or {}
    conditions = {c["type"]: c for c in status.get("conditions") or () if c.get("status") == "True"}
    for kind, succeeded in (("Complete", True), ("Failed", False)):
        if kind in conditions:
            found = conditions[kind]
            ended = status.get("completionTime") or found.get("lastTransitionTime")
            return succeeded, found.get("reason") or kind, found.get("message") or "", ended
    alive = status.get("active") or status.get("terminating")
    if stopped is not None and (job.get("spec") or {}).get("suspend") and "Suspended" in conditions and not alive:
        reason, _, message = stopped.partition(": ")
        return False, reason, message, conditions["Suspended"].get("lastTransitionTime")
    return None, "", "", None


def _never_had_pods(succeeded: bool | None, reason: str, status: Mapping[str, Any]) -> bool:
    """Say whether a Job met its deadline without a pod: startTime is only when its controller saw it first."""
    counted = status.get("uncountedTerminatedPods") or {}
    pods = any(status.get(name) for name in ("active", "ready", "terminating", "succeeded", "failed"))
    return succeeded is False and reason == "DeadlineExceeded" and not pods and not any(counted.values())


def read_job_pods(documents: Iterable[Mapping[str, Any]], run: Run) -> tuple[TaskRun, ...]:
    """Read the pods of a Job in the order in which they were created; those of an earlier Job are left out."""
    own = [d for d in documents if any(o.get("uid") == run.uid for o in d["metadata"].get("ownerReferences") or ())]
    own.sort(key=lambda d: (d["metadata"].get("creationTimestamp") or "", d["metadata"]["name"]))
    return tuple(_read_pod(document) for document in own)


def refused_pod(run: Run, message: str) -> TaskRun:
    """Return what stands for the pod of a Job that the API server refused to create."""
    return TaskRun(
        name=run.name, pipeline_task=CONTAINER, index=0, succeeded=False, reason=FAILED_CREATE, message=message
    )


def hidden_pod(run: Run) -> TaskRun:
    """Return what stands for the pod of a Job that nobody may show us: it counts as at work."""
    return TaskRun(name=run.name, pipeline_task=CONTAINER, index=0, steps=(Step(name=CONTAINER, running=True),))


def _read_pod(document: Mapping[str, Any]) -> TaskRun:
    status = document.get("status") or {}
    states = [(c.get("name") or "", c) for c in status.get("containerStatuses") or ()]
    steps = tuple(_read_container(name, container) for name, container in states)
    phase = status.get("phase") or ""
    reason, message = _why(status, steps)
    succeeded = {"Succeeded": True, "Failed": False}.get(phase)
    return TaskRun(
        name=document["metadata"]["name"],
        pipeline_task=CONTAINER,
        index=0,
        succeeded=False if succeeded is None and reason in STUCK else succeeded,
        reason=reason or phase,
        message=message,
        steps=steps,
    )


def _read_container(name: str, container: Mapping[str, Any]) -> Step:
    # After a restart of its node the last state tells of the container that was alive.
    state = {**(container.get("lastState") or {}), **(container.get("state") or {})}
    return read_step(name, state)


def _why(status: Mapping[str, Any], steps: tuple[Step, ...]) -> tuple[str, str]:
    """Return why a pod is as it is: what its containers say when they were stopped or wait, else what it says."""
    if status.get("reason"):
        return status["reason"], status.get("message") or ""
    ended = [step for step in steps if step.exit_code]
    waiting = [step for step in steps if step.reason and step.exit_code is None]
    for step in (*ended, *waiting):
        return step.reason, step.message
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return condition.get("reason") or "", condition.get("message") or ""
    return "", ""
