"""The tasks of a run as values: a TaskRun or the pod of a Job, its steps, and which of them were ever alive.

What Tekton writes about a step that never ran looks much like what it writes about one that did: taskrun.go
(failTaskRun, appendPreviousConditionContext) is the source of all that is told apart here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from models.run import Run, read_succeeded


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
