"""Audit events as a pure function of an execution and one of its facts.

Whoever derives an event, whenever, gets the same id and the same content; so nothing in it may change after the fact
was written. What an end tells (completion, failure) is final; what a start or a retry tells is fixed by its attempt.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models.confidential import confidential, without
from models.execution import Execution
from models.instants import format_instant
from models.names import COMPONENT, KIND
from models.status import Clearance, Fact, FactType, Phase, Request, Status
from models.target import run_name

EVENT_IDS = uuid.uuid5(uuid.NAMESPACE_DNS, "audit.kubernaut.ai")

TEXT_MAX = 4096
"""Characters of one text in `event_data`: all of them together stay below DataStorage's 256 KiB."""

_COLUMN_MAX = 255
NOBODY = "unverified:unknown"

_PHASE_OF = {
    FactType.STARTED: Phase.RUNNING,
    FactType.COMPLETED: Phase.COMPLETED,
    FactType.FAILED: Phase.FAILED,
    FactType.SKIPPED: Phase.SKIPPED,
    FactType.QUEUED: Phase.PENDING,
    FactType.RETRYING: Phase.PENDING,
    FactType.BLOCK_CLEARED: Phase.FAILED,
    FactType.CANCELLED: Phase.FAILED,
}
"""The phase that an event tells of; an unlock tells of the end before it, whichever that was."""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One event ready to be sent; `body` is the JSON object of DataStorage's API."""

    event_id: str
    body: dict[str, Any]

    def encoded(self) -> bytes:
        """Return the body as canonical JSON: sorted keys, no spaces, so that equal content is equal bytes."""
        return json.dumps(self.body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(
            "utf-8", "replace"
        )


def audit_event(identity: str, kind: str, at: datetime, **told: Any) -> AuditEvent:
    """Return an event with what all of ours have in common; `told` are the other fields of its body."""
    common = {
        "event_id": identity,
        "version": "1.0",
        "event_type": kind,
        "event_timestamp": format_instant(at),
        "event_category": "workflow",
        "event_action": kind.rpartition(".")[2],
    }
    return AuditEvent(identity, common | told)


def event_id(execution_uid: str, kind: FactType, attempt: int) -> str:
    """Return the id that every derivation of this event has (UUIDv5)."""
    return str(uuid.uuid5(EVENT_IDS, f"{execution_uid}/{kind.value}/{attempt}"))


def pending_events(execution: Execution) -> tuple[AuditEvent, ...]:
    """Return the events of all facts that DataStorage has not acknowledged, oldest first."""
    return tuple(_event(execution, fact) for fact in execution.status.pending_facts)


def _event(execution: Execution, fact: Fact) -> AuditEvent:
    return audit_event(
        event_id(execution.uid, fact.type, fact.attempt),
        fact.type.value,
        fact.at,
        event_outcome="failure" if fact.type is FactType.FAILED else "success",
        **_actor(execution.status, fact),
        resource_type=KIND,
        resource_id=execution.key.name,
        namespace=execution.key.namespace,
        correlation_id=column(execution.correlation_id),
        event_data=_event_data(execution, fact),
    )


def _actor(status: Status, fact: Fact) -> dict[str, str]:
    act = _act(status, fact)
    if act is None:
        return {"actor_type": "service", "actor_id": COMPONENT}
    return {"actor_type": "user", "actor_id": column(act[0] or NOBODY)}


def _act(status: Status, fact: Fact) -> tuple[str, str] | None:
    """Return who did what this fact tells and why; None for what the executor did by itself."""
    match fact.type:
        case FactType.BLOCK_CLEARED:
            done: Clearance | Request | None = status.clearance
        case FactType.CANCELLED:
            done = status.cancellation
        case FactType.UNLOCKED:
            done = status.unlock
        case _:
            return None
    return (done.by, done.reason) if done is not None else (NOBODY, "")


def column(text: str) -> str:
    """Make a text fit DataStorage's columns: they take no U+0000, the API server lets one through."""
    return text.replace("\x00", "\ufffd")[:_COLUMN_MAX]


def _event_data(execution: Execution, fact: Fact) -> dict[str, Any]:
    spec, status = execution.spec, execution.status
    fields: dict[str, Any] = {
        "workflow_id": spec.workflow_id,
        "workflow_version": spec.workflow_version,
        "target_resource": spec.target,
        "phase": _PHASE_OF.get(fact.type, status.phase).value,
        "container_image": spec.image,
        "execution_name": execution.key.name,
        "attempt": fact.attempt,
    }
    if fact.type is FactType.STARTED:
        fields |= {"pipelinerun_name": run_name(spec.target), "started_at": format_instant(fact.at)}
    if fact.type in (FactType.COMPLETED, FactType.FAILED, FactType.SKIPPED):
        fields |= {
            "pipelinerun_name": status.run_name or None,
            "started_at": format_instant(status.started_at) if status.started_at else None,
            "completed_at": format_instant(status.completed_at or fact.at),
            "duration": status.duration or None,
        }
    if fact.type is FactType.FAILED and status.failure is not None:
        fields |= {
            "failure_reason": status.failure.reason.value,
            "failure_message": status.failure.message,
            "failed_task_name": status.failure.task_name or None,
        }
    if fact.type is FactType.SKIPPED and status.skip is not None:
        fields |= {"skip_reason": status.skip.reason.value, "skip_message": status.skip.message}
    act = _act(status, fact)
    if act is not None:
        fields["request_reason"] = act[1] or None
    secrets = confidential(spec.parameters)
    return {key: _told(value, secrets) for key, value in fields.items() if value is not None}


def _told(value: Any, secrets: tuple[str, ...]) -> Any:
    """Return a text without secrets, and shortened where its author made it longer than an audit event may be.

    No parameter is audited, but a message of Kubernetes or Tekton may quote one. The object itself keeps the whole.
    """
    if not isinstance(value, str):
        return value
    text = without(value, secrets)
    return text[: TEXT_MAX - 1] + "…" if len(text) > TEXT_MAX else text
