"""One WorkflowExecution as a value, read from the API server's JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from models.instants import parse_instant, read_instant
from models.keys import Key
from models.names import API_VERSION, COMPONENT, FINALIZER, KIND, LABEL_CORRELATION_ID
from models.status import Status
from models.status_reading import MOST_ATTEMPTS, read_status

_SURELY_SMALL = 100_000
"""Characters that cannot become a megabyte, however they are escaped."""


class Engine(StrEnum):
    """What carries a run out."""

    TEKTON = "tekton"
    JOB = "job"

    @property
    def kind(self) -> str:
        """Return what the run of this engine is to the API server."""
        return "PipelineRun" if self is Engine.TEKTON else "Job"

    @property
    def other(self) -> Engine:
        return Engine.JOB if self is Engine.TEKTON else Engine.TEKTON


class ConcurrencyPolicy(StrEnum):
    """What an execution does when its target is taken."""

    WAIT = "Wait"
    SKIP = "Skip"
    FAIL = "Fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What somebody declared; texts are as written, validated by `models.validation`."""

    workflow_id: str
    workflow_version: str
    image: str
    digest: str = ""
    engine: Engine = Engine.TEKTON
    target: str
    parameters: Mapping[str, str]
    timeout: str = ""
    concurrency: ConcurrencyPolicy | None = None
    remediation_name: str = ""
    size: int = 0
    """Bytes it takes at the API server, exact only where it comes near the limit of an object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One object at one resourceVersion."""

    key: Key
    uid: str
    resource_version: str
    generation: int
    created_at: datetime
    deleted_at: datetime | None
    finalizers: tuple[str, ...]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    spec: Spec
    status: Status
    cleared_by_hand: bool = False
    """Whether somebody else than us wrote how the block was cleared."""

    @property
    def guarded(self) -> bool:
        """Whether our finalizer keeps the object until we have cleaned up."""
        return FINALIZER in self.finalizers

    @property
    def correlation_id(self) -> str:
        """What ties the audit of one remediation together (CONTRACT 6)."""
        return self.labels.get(LABEL_CORRELATION_ID) or self.spec.remediation_name or self.key.name

    @property
    def next_attempt(self) -> int:
        """The number of the attempt under way: every recorded failure before it used up one; it never goes back."""
        return min(max(self.status.failures + 1, self.status.attempt), MOST_ATTEMPTS)

    @property
    def attempt_failed(self) -> bool:
        """Whether the last recorded attempt failed before any task ran and another is due."""
        return self.status.failures > 0 and self.status.failures >= self.status.attempt


def read_execution(document: Mapping[str, Any]) -> Execution:
    """Read a WorkflowExecution as the API server returned it."""
    metadata = document["metadata"]
    return Execution(
        key=Key(metadata["namespace"], metadata["name"]),
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        generation=metadata.get("generation") or 0,
        created_at=parse_instant(metadata["creationTimestamp"]),
        deleted_at=read_instant(metadata.get("deletionTimestamp")),
        finalizers=tuple(metadata.get("finalizers") or ()),
        labels=metadata.get("labels") or {},
        annotations=metadata.get("annotations") or {},
        spec=_read_spec(document.get("spec") or {}),
        status=read_status(document.get("status") or {}),
        cleared_by_hand=_managed_by_others(metadata, "f:status", "f:blockClearance"),
    )


def _managed_by_others(metadata: Mapping[str, Any], *field: str) -> bool:
    """Say whether the API server recorded somebody's write in a field, and none of ours (metadata.managedFields)."""
    managers = set()
    for entry in metadata.get("managedFields") or ():
        fields: Any = entry.get("fieldsV1")
        for name in field:
            fields = fields.get(name) if isinstance(fields, Mapping) else None
        if fields is not None:
            managers.add(entry.get("manager"))
    return bool(managers) and COMPONENT not in managers


def _read_spec(document: Mapping[str, Any]) -> Spec:
    workflow = document.get("workflowRef") or {}
    config = document.get("executionConfig") or {}
    policy = config.get("concurrencyPolicy")
    return Spec(
        workflow_id=workflow.get("workflowId") or "",
        workflow_version=workflow.get("version") or "",
        image=workflow.get("containerImage") or "",
        digest=workflow.get("containerDigest") or "",
        engine=Engine(workflow.get("executionEngine") or Engine.TEKTON),
        target=document.get("targetResource") or "",
        parameters=document.get("parameters") or {},
        timeout=config.get("timeout") or "",
        concurrency=ConcurrencyPolicy(policy) if policy else None,
        remediation_name=(document.get("remediationRequestRef") or {}).get("name") or "",
        size=_size(document),
    )


def _size(document: Mapping[str, Any]) -> int:
    """Reckon what a spec takes where it is stored: JSON as Go writes it, with <, > and & escaped."""
    rough = len(str(document))
    if rough < _SURELY_SMALL:
        return rough
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return len(text.encode("utf-8", "replace")) + 5 * sum(map(text.count, "<>&"))


def object_reference(execution: Execution) -> dict[str, str]:
    """Return the ObjectReference under which `kubectl describe` finds Kubernetes Events of an execution."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "namespace": execution.key.namespace,
        "name": execution.key.name,
        "uid": execution.uid,
        "resourceVersion": execution.resource_version,
    }
