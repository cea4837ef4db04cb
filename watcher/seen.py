"""What is kept of an object that was seen: only what routing compares, about a kilobyte instead of tens.

Reading is total: an object in a shape nobody expects gives empty fields, never an error that would stop the stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models.instants import read_instant
from models.keys import Key
from models.names import FINALIZER, GROUP, LABEL_EXECUTION, LABEL_SOURCE_NAMESPACE, named_text
from models.run import completed_tasks
from models.status import FactType, Phase, WaitReason

_TERMINAL = ("Completed", "Failed", "Skipped")

NEW, OTHER = "New", "Other"
WAITS = (NEW, *(reason.value for reason in WaitReason), OTHER)
"""What a Pending execution waits for: its status.reason, New before it has one, Other for a text nobody of us wrote."""

BY_US, BY_HAND = "us", "hand"

_PHASES = {phase.value: phase for phase in Phase}
_WAITS = {"": NEW, **{reason.value: reason.value for reason in WaitReason}}


@dataclass(frozen=True, slots=True)
class SeenExecution:
    """An execution as routing compares it and the gauges count it; `asks` stands for its annotations of our group."""

    uid: str
    key: Key
    generation: int
    deleting: bool
    guarded: bool
    asks: int
    terminal: bool
    attempted: bool
    facts_pending: bool
    completed_at: datetime | None
    phase: Phase = Phase.PENDING
    wait: str = NEW
    cleared: str = ""
    """Whether its block was cleared, and by whom: a clearance of ours comes with its fact."""


@dataclass(frozen=True, slots=True)
class SeenRun:
    """A run as routing compares it; `key` is its execution's, None when it names none."""

    uid: str
    key: Key | None
    deleting: bool
    outcome: tuple[str, int]


@dataclass(frozen=True, slots=True)
class SeenFreeze:
    """The object of a freeze: it is in force until it is being deleted."""

    uid: str
    key: Key
    deleting: bool


def see_freeze(document: Mapping[str, Any]) -> SeenFreeze:
    """Keep what routing needs of the ConfigMap that freezes."""
    metadata = _mapping(document.get("metadata"))
    return SeenFreeze(
        uid=str(metadata.get("uid", "")),
        key=Key(str(metadata.get("namespace", "")), str(metadata.get("name", ""))),
        deleting=bool(metadata.get("deletionTimestamp")),
    )


def see_execution(document: Mapping[str, Any]) -> SeenExecution:
    """Keep what routing needs of a WorkflowExecution."""
    metadata, status = _mapping(document.get("metadata")), _mapping(document.get("status"))
    ours = {name: str(text) for name, text in _mapping(metadata.get("annotations")).items() if _of_our_group(name)}
    return SeenExecution(
        uid=str(metadata.get("uid", "")),
        key=Key(str(metadata.get("namespace", "")), str(metadata.get("name", ""))),
        generation=metadata.get("generation") or 0,
        deleting=bool(metadata.get("deletionTimestamp")),
        guarded=FINALIZER in _list(metadata.get("finalizers")),
        asks=hash(tuple(sorted(ours.items()))),
        terminal=status.get("phase") in _TERMINAL,
        attempted=bool(status.get("attempt")),
        facts_pending=bool(_list(_mapping(status.get("audit")).get("pending"))),
        completed_at=read_instant(status.get("completionTime")),
        phase=_PHASES.get(str(status.get("phase")), Phase.PENDING),
        wait=_WAITS.get(str(status.get("reason") or ""), OTHER),
        cleared=_cleared(status),
    )


def _cleared(status: Mapping[str, Any]) -> str:
    if not status.get("blockClearance"):
        return ""
    pending = _list(_mapping(status.get("audit")).get("pending"))
    return BY_US if any(_mapping(fact).get("type") == FactType.BLOCK_CLEARED for fact in pending) else BY_HAND


def see_run(document: Mapping[str, Any]) -> SeenRun:
    """Keep what routing needs of a PipelineRun."""
    return _seen_run(document, _outcome(_mapping(document.get("status"))))


def see_job(document: Mapping[str, Any]) -> SeenRun:
    """Keep what routing needs of a Job."""
    return _seen_run(document, _job_outcome(_mapping(document.get("status"))))


def _seen_run(document: Mapping[str, Any], outcome: tuple[str, int]) -> SeenRun:
    metadata = _mapping(document.get("metadata"))
    labels, annotations = _mapping(metadata.get("labels")), _mapping(metadata.get("annotations"))
    namespace = named_text(labels, annotations, LABEL_SOURCE_NAMESPACE)
    name = named_text(labels, annotations, LABEL_EXECUTION)
    return SeenRun(
        uid=str(metadata.get("uid", "")),
        key=Key(namespace, name) if namespace and name else None,
        deleting=bool(metadata.get("deletionTimestamp")),
        outcome=outcome,
    )


def _outcome(status: Mapping[str, Any]) -> tuple[str, int]:
    """Return how the run ended, empty while it has not, and how many of its tasks have.

    While it goes on its reasons are Tekton's own business: a pass could do nothing about them.
    """
    for condition in _list(status.get("conditions")):
        if isinstance(condition, Mapping) and condition.get("type") == "Succeeded":
            ended = condition.get("status") in ("True", "False")
            return str(condition["status"]) if ended else "", completed_tasks(str(condition.get("message")))
    return "", 0


def _job_outcome(status: Mapping[str, Any]) -> tuple[str, int]:
    """Return how a Job ended, or that it is suspended and whether a pod of it is left."""
    found = {str(c.get("type")) for c in _list(status.get("conditions")) if _is_true(c)}
    for kind in ("Complete", "Failed"):
        if kind in found:
            return kind, 1
    alive = bool(status.get("active") or status.get("terminating"))
    return ("Suspended", int(alive)) if "Suspended" in found else ("", 0)


def _is_true(condition: object) -> bool:
    return isinstance(condition, Mapping) and condition.get("status") == "True"


def _of_our_group(name: str) -> bool:
    domain = str(name).partition("/")[0]
    return domain == GROUP or domain.endswith("." + GROUP)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
