"""A run (the PipelineRun or Job of a target) as a value, and how a PipelineRun is read from JSON.

Only the status of the Succeeded condition decides; Tekton's reasons are open-ended words for people
(pipelinerun_types.go, PipelineRunReason). Its tasks are `models.task_run`'s, and how a Job is read `models.job`'s.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from typing import Any

from models.confidential import confidential
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
    secrets: tuple[str, ...] = field(default=(), repr=False, compare=False)
    """The values of its parameters that must not be told: its execution, which knows them too, may be gone."""

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
        secrets=run_secrets(document),
    )


def run_secrets(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the values that a PipelineRun, or the manifest of one, must not be quoted with."""
    return named_secrets((document.get("spec") or {}).get("params"))


def named_secrets(pairs: Any) -> tuple[str, ...]:
    """Return those of a list of `{name, value}`; its texts only, for whoever made the run may have put in anything."""
    found = [pair for pair in pairs if isinstance(pair, Mapping)] if isinstance(pairs, list) else []
    texts = {f"{pair.get('name')}": pair["value"] for pair in found if isinstance(pair.get("value"), str)}
    return confidential(texts)


def read_succeeded(status: Mapping[str, Any]) -> tuple[bool | None, str, str]:
    """Return (status, reason, message) of the Succeeded condition; the status is None while it is Unknown or absent."""
    for condition in status.get("conditions") or ():
        if condition.get("type") == "Succeeded":
            succeeded = {"True": True, "False": False}.get(condition.get("status") or "")
            return succeeded, condition.get("reason") or "", condition.get("message") or ""
    return None, "", ""


def _number(text: str | None, default: int) -> int:
    return int(text) if text and len(text) < 20 and text.isascii() and text.isdigit() else default
