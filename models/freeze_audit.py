"""The audit of a freeze and of its end: facts of the ConfigMap, not of an execution; told once each."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from models.audit import EVENT_IDS, TEXT_MAX, AuditEvent, audit_event, column
from models.freeze import FREEZE_NAME, UNFREEZE_REQUESTED_BY
from models.instants import parse_instant
from models.names import REQUESTED_BY

FROZEN, UNFROZEN = "workflow.frozen", "workflow.unfrozen"


def freeze_event(document: Mapping[str, Any], *, verified: bool) -> AuditEvent:
    """Return the audit event of a freeze; `verified` says whether admission vouches for the requester."""
    at = parse_instant(document["metadata"]["creationTimestamp"])
    return _event(document, FROZEN, at, _actor(document, REQUESTED_BY, verified))


def unfreeze_event(document: Mapping[str, Any], at: datetime, *, verified: bool) -> AuditEvent:
    """Return the audit event of the end of a freeze."""
    return _event(document, UNFROZEN, at, _actor(document, UNFREEZE_REQUESTED_BY, verified))


def freeze_event_id(uid: str, kind: str) -> str:
    """Return the id that every derivation of this event has (UUIDv5)."""
    return str(uuid.uuid5(EVENT_IDS, f"{uid}/{kind}"))


def _event(document: Mapping[str, Any], kind: str, at: datetime, actor: str) -> AuditEvent:
    metadata = document["metadata"]
    reason = str((document.get("data") or {}).get("reason") or "")
    return audit_event(
        freeze_event_id(metadata["uid"], kind),
        kind,
        at,
        event_outcome="success",
        actor_type="user",
        actor_id=actor,
        resource_type="ConfigMap",
        resource_id=FREEZE_NAME,
        namespace=metadata["namespace"],
        correlation_id=f"freeze-{metadata['uid']}",
        event_data={"request_reason": reason[:TEXT_MAX], "frozen_at": metadata["creationTimestamp"]},
    )


def _actor(document: Mapping[str, Any], annotation: str, verified: bool) -> str:
    name = str((document["metadata"].get("annotations") or {}).get(annotation) or "").strip()
    return column(name if name and verified else f"unverified:{name or 'unknown'}")
