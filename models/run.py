"""A run (the PipelineRun of a target) and its TaskRuns as values, read from the API server's JSON.

Only the status of the Succeeded condition decides; Tekton's reasons are open-ended words for people
(pipelinerun_types.go, PipelineRunReason).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any

from models.execution import Execution
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


class Ownership(Enum):
    """Whose a run is, as far as the run itself tells."""

    OURS = auto()
    ANOTHERS = auto()
    FOREIGN = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run. `succeeded` is None while it has not ended."""

    name: str
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
    """One step of a TaskRun; `exit_code` is None unless it terminated."""

    name: str
    running: bool = False
    exit_code: int | None = None
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    container: bool = True

    @property
    def really_ran(self) -> bool:
        """Whether a container of this step was ever alive, not merely declared terminated by Tekton."""
        return self.running or (self.exit_code is not None and self.container)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRun:
    """One TaskRun of a run."""

    name: str
    pipeline_task: str
    index: int
    succeeded: bool | None = None
    reason: str = ""
    message: str = ""
    steps: tuple[Step, ...] = ()

    @property
    def started(self) -> bool:
        return self.succeeded is True or any(step.really_ran for step in self.steps)


def completed_tasks(message: str) -> int:
    """Return how many pipeline tasks have ended, from Tekton's own count in the condition's message."""
    found = _COUNTS.search(message)
    return int(found.group(1)) if found else 0


def read_run(document: Mapping[str, Any]) -> Run:
    """Read a tekton.dev/v1 PipelineRun."""
    metadata, status = document["metadata"], document.get("status") or {}
    succeeded, reason, message = read_succeeded(status)
    tasks = (status.get("pipelineSpec") or {}).get("tasks") or ()
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
    )


def read_task_runs(documents: Iterable[Mapping[str, Any]], run: Run) -> tuple[TaskRun, ...]:
    """Read the TaskRuns of a run in the order in which they were created; those of other runs are left out."""
    own = [d for d in documents if (d["metadata"].get("labels") or {}).get("tekton.dev/pipelineRun") == run.name]
    own.sort(key=lambda d: (d["metadata"].get("creationTimestamp") or "", d["metadata"]["name"]))
    return tuple(_read_task_run(document, index) for index, document in enumerate(own))


def _read_task_run(document: Mapping[str, Any], index: int) -> TaskRun:
    metadata, status = document["metadata"], document.get("status") or {}
    succeeded, reason, message = read_succeeded(status)
    labels = metadata.get("labels") or {}
    return TaskRun(
        name=metadata["name"],
        pipeline_task=labels.get("tekton.dev/pipelineTask") or metadata["name"],
        index=index,
        succeeded=succeeded,
        reason=reason,
        message=message,
        steps=tuple(_read_step(step) for step in status.get("steps") or ()),
    )


def _read_step(document: Mapping[str, Any]) -> Step:
    terminated = document.get("terminated") or {}
    return Step(
        name=document.get("name") or "",
        running="running" in document,
        exit_code=terminated.get("exitCode") if terminated else None,
        reason=terminated.get("reason") or (document.get("waiting") or {}).get("reason") or "",
        message=terminated.get("message") or "",
        started_at=read_instant(terminated.get("startedAt")),
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
