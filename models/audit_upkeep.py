"""What the audit tells of itself: legal holds set and lifted, months removed; events in chains like any others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from models.audit_request import AuditRecord, read_event
from models.audit_values import format_microseconds

HOLDS_CHAIN = "audit-hold"
"""The chain that tells of holds on everything; one on a chain is told in that chain."""

RETENTION_CHAIN = "audit-retention"
SERVICE = "datastorage"


class UpkeepType(StrEnum):
    """What is told."""

    HOLD_SET = "audit.hold_set"
    HOLD_LIFTED = "audit.hold_lifted"
    MONTH_REMOVED = "audit.month_removed"


OWN_TYPES = frozenset(kind.value for kind in UpkeepType)
"""What the service alone writes."""


def upkeep_record(
    kind: UpkeepType,
    at: datetime,
    correlation_id: str,
    data: Mapping[str, Any],
    *,
    new_id: Callable[[], UUID],
    user: str = "",
) -> AuditRecord:
    """Return the event; without a user the service did it by itself."""
    document = {
        "version": "1.0",
        "event_type": kind.value,
        "event_timestamp": format_microseconds(at),
        "event_category": "orchestration",
        "event_action": kind.value.rpartition(".")[2],
        "event_outcome": "success",
        "correlation_id": correlation_id,
        "actor_type": "user" if user else "service",
        "actor_id": user or SERVICE,
        "resource_type": "AuditChain" if kind is not UpkeepType.MONTH_REMOVED else "AuditMonth",
        "resource_id": str(data.get("month") or correlation_id),
        "event_data": {name: value for name, value in data.items() if value is not None},
    }
    return read_event(document, now=at, new_id=new_id)
