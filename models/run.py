"""A run (the PipelineRun or Job of a target) and its parts as values, and how a PipelineRun is read from JSON.

Only the status of the Succeeded condition decides; Tekton's reasons are open-ended words for people
(pipelinerun_types.go, PipelineRunReason). How a Job is read is `models.job`'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, auto
from typing import Any

from models.execution import Engine, Execution
from models.hold import read_fence
from models.instants import parse_instant, read_instant
from models.keys import Key
from models.names import (
    ANNOTATION_ATTEMPT,
    ANNOTATION_FENCE,
    ANNOTATION_UID,
    LABEL_EXECUTION,
    LABEL_SOURCE_NAMESPACE,
    LABEL_TARGET,
    label_value,
    named_text,
)

_COUNTS = re.compile(
    r"Tasks Completed: (\d{1,9}) \(Failed: (\d+), Cancelled (\d+)\)(?:, Incomplete: (\d+))?, Skipped: (\d+)"
)


CANCELLING = ("Cancelled", "CancelledRunFinally")
"""`spec.status` of a PipelineRun that is to end, at once or after its `finally` tasks (pipelinerun_types.go)."""


class Ownership(Enum):
    """Whose a run is, as far as the run itself tells."""

    OURS = auto()
    ANOTHERS = auto()
    FOREIGN = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of either engine. `succeeded` is None while it has not ended.

    `task_names` are the pipeline's tasks in its order. `waits_for_pod` says that a Job going on has no container that
    is ready: nobody tells a Job why, so its pods have to be looked at.
    """

    name: str
    engine: Engine = Engine.TEKTON
    namespace: str
    uid: str
    created_at: datetime
    deleting: bool = False
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    succeeded: bool | None = None
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    total_tasks: int = 0
    task_names: tuple[str, ...] = ()
    waits_for_pod: bool = False
    cancelling: bool = False
    """Whether somebody asked the run to end: it will, but has not yet."""

    @property
    def kind(self) -> str:
        return self.engine.kind

    @property
    def execution_uid(self) -> str:
        return self.annotations.get(ANNOTATION_UID, "")

    @property
    def execution_key(self) -> Key | None:
        """Return the key of the execution this run says it belongs to, None when it names none."""
        namespace = named_text(self.labels, self.annotations, LABEL_SOURCE_NAMESPACE)
        name = named_text(self.labels, self.annotations, LABEL_EXECUTION)
        return Key(namespace, name) if namespace and name else None

    @property
    def attempt(self) -> int:
        return _number(self.annotations.get(ANNOTATION_ATTEMPT), default=1)

    @property
    def fence(self) -> int | None:
        return read_fence(_number(self.annotations.get(ANNOTATION_FENCE), default=-1))

    @property
    def target(self) -> str:
        return named_text(self.labels, self.annotations, LABEL_TARGET)

    @property
    def completed_tasks(self) -> int:
        if self.engine is Engine.JOB:
            return int(self.succeeded is not None)
        return completed_tasks(self.message)

    def ownership(self, execution: Execution) -> Ownership:
        """Say whether this run belongs to an execution.

        The uid annotation decides. A run without one is ours only when its labels name this execution and it is not
        older than the execution (a predecessor's run, from before the annotation existed).
        """
        if self.execution_uid:
            return Ownership.OURS if self.execution_uid == execution.uid else Ownership.ANOTHERS
        named = (
            self.labels.get(LABEL_EXECUTION) == label_value(execution.key.name)
            and self.labels.get(LABEL_SOURCE_NAMESPACE) == label_value(execution.key.namespace)
            and self.created_at >= execution.created_at
        )
        return Ownership.OURS if named else Ownership.FOREIGN


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One container of a task; `exit_code` is None unless it terminated.

    `container` says that a container of its own terminated, not that Tekton declared it so with its pod.
    """

    name: str
    running: bool = False
    exit_code: int | None = None
    reason: str = ""
    message: str = ""
    container: bool = True

    @property
    def waits_in_vain(self) -> bool:
        """Whether it was never alive, and its pod says why."""
        return not self.running and self.exit_code is None and bool(self.reason and self.message)

    @property
    def really_ran(self) -> bool:
        """Whether a container of this step was ever alive."""
        return self.running or (self.exit_code is not None and self.container and self.reason not in _NO_PROCESS)


_DECLARED = ("TaskRunImagePullFailed", "CreateContainerConfigError", "PodCreationFailed")
_CUT = ("TaskRunCancelled", "TaskRunTimeout")
_WAITED = re.compile(r"^Previous status: \[(\w+)\] ?(.*)", re.MULTILINE | re.DOTALL)
"""What Tekton adds when it ends a TaskRun whose pod did not run (taskrun.go, appendPreviousConditionContext)."""
_NO_PROCESS = ("StartError", "ContainerCannotRun")
"""The kubelet's words for a container whose process could not be started; its exit code (128) is the runtime's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRun:
    """One TaskRun of a PipelineRun, or the pod of a Job, which counts as its only task."""

    name: str
    pipeline_task: str
    index: int
    succeeded: bool | None = None
    reason: str = ""
    message: str = ""
    steps: tuple[Step, ...] = ()
    sidecars: tuple[Step, ...] = ()
    earlier: tuple[Step, ...] = ()
    """The steps of its earlier tries, where the pipeline has Tekton try a task again."""

    @property
    def started(self) -> bool:
        """Whether it had begun to act (CONTRACT 3): it completed, or a step of it really ran, in whichever try."""
        return self.succeeded is True or any(step.really_ran for step in (*self.steps, *self.earlier))

    @property
    def waited(self) -> tuple[str, str]:
        """Return what it waited for when its time was up, as a reason and a message; empty when it ran by then."""
        return _waited(self.message)


def completed_tasks(message: str) -> int:
    """Return how many pipeline tasks have ended, from Tekton's own count in the condition's message."""
    found = _COUNTS.search(message)
    return int(found.group(1)) if found else 0


def read_run(document: Mapping[str, Any]) -> Run:
    """Read a tekton.dev/v1 PipelineRun."""
    metadata, status = document["metadata"], document.get("status") or {}
    succeeded, reason, message = read_succeeded(status)
    pipeline = status.get("pipelineSpec") or {}
    tasks = [task["name"] for task in pipeline.get("tasks") or ()]
    return Run(
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        created_at=parse_instant(metadata["creationTimestamp"]),
        deleting=bool(metadata.get("deletionTimestamp")),
        labels=metadata.get("labels") or {},
        annotations=metadata.get("annotations") or {},
        succeeded=succeeded,
        reason=reason,
        message=message,
        started_at=read_instant(status.get("startTime")),
        ended_at=read_instant(status.get("completionTime")),
        total_tasks=len(tasks),
        task_names=(*tasks, *(task["name"] for task in pipeline.get("finally") or ())),
        cancelling=(document.get("spec") or {}).get("status") in CANCELLING,
    )


def read_task_runs(documents: Iterable[Mapping[str, Any]], run: Run) -> tuple[TaskRun, ...]:
    """Read the TaskRuns of a run in the order in which they were created; those of other runs are left out.

    The index is the pipeline's where the run tells it, else that of creation.
    """
    own = [d for d in documents if (d["metadata"].get("labels") or {}).get("tekton.dev/pipelineRun") == run.name]
    own.sort(key=lambda d: (d["metadata"].get("creationTimestamp") or "", d["metadata"]["name"]))
    return tuple(_read_task_run(document, index, run.task_names) for index, document in enumerate(own))


def _read_task_run(document: Mapping[str, Any], index: int, names: tuple[str, ...]) -> TaskRun:
    metadata, status = document["metadata"], document.get("status") or {}
    succeeded, reason, message = read_succeeded(status)
    task = (metadata.get("labels") or {}).get("tekton.dev/pipelineTask") or metadata["name"]
    created = metadata.get("creationTimestamp")
    tries = status.get("retriesStatus") or ()
    return TaskRun(
        name=metadata["name"],
        pipeline_task=task,
        index=names.index(task) if task in names else index,
        succeeded=succeeded,
        reason=reason,
        message=message,
        steps=_read_task_steps(status, created),
        sidecars=tuple(read_step(sidecar.get("name") or "", sidecar) for sidecar in status.get("sidecars") or ()),
        earlier=tuple(step for each in tries for step in _read_task_steps(each, created)),
    )


def _read_task_steps(status: Mapping[str, Any], task_created: str | None) -> tuple[Step, ...]:
    """Read the steps of one try of a TaskRun.

    One that still waits when its TaskRun fails is declared terminated too, and because the CRD wants a startedAt it
    gets the TaskRun's creation (taskrun.go, failTaskRun). With an imageID, or of another instant, it was alive.
    """
    waited, _ = _waited(read_succeeded(status)[2])
    declared = (*_DECLARED, *_CUT) if waited else _DECLARED
    steps = []
    for document in status.get("steps") or ():
        step = read_step(document.get("name") or "", document)
        began = (document.get("terminated") or {}).get("startedAt")
        was_alive = step.reason not in declared or document.get("imageID") or began not in (None, task_created)
        steps.append(step if was_alive else replace(step, container=False))
    return tuple(steps)


def _waited(message: str) -> tuple[str, str]:
    found = _WAITED.search(message)
    return (found[1], found[2]) if found else ("", "")


def read_step(name: str, document: Mapping[str, Any]) -> Step:
    """Read a ContainerState (core/v1), in which Tekton writes the state of a step, too."""
    terminated, waiting = document.get("terminated") or {}, document.get("waiting") or {}
    return Step(
        name=name,
        running="running" in document,
        exit_code=terminated.get("exitCode") if terminated else None,
        reason=terminated.get("reason") or waiting.get("reason") or "",
        message=terminated.get("message") or waiting.get("message") or "",
        container=bool(document.get("imageID") or terminated.get("containerID") or terminated.get("startedAt")),
    )


def read_succeeded(status: Mapping[str, Any]) -> tuple[bool | None, str, str]:
    """Return (status, reason, message) of the Succeeded condition; the status is None while it is Unknown or absent."""
    for condition in status.get("conditions") or ():
        if condition.get("type") == "Succeeded":
            succeeded = {"True": True, "False": False}.get(condition.get("status") or "")
            return succeeded, condition.get("reason") or "", condition.get("message") or ""
    return None, "", ""


def _number(text: str | None, default: int) -> int:
    return int(text) if text and len(text) < 20 and text.isascii() and text.isdigit() else default
