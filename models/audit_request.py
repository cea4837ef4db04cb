"""Reading one audit event: JSON value in, record or the list of everything wrong with it out.

Nothing here touches a clock, a database or randomness: `now` and the id for an event that brings none are arguments.
Two requests are the same event when their canonical JSON (defaults filled in, instants in UTC microseconds, unknown
properties left out) is the same; the content hash is over that text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from models.audit_chain import content_hash, content_text
from models.audit_fields import FIELDS, PAST_WINDOW, Kind
from models.audit_values import READERS, EventData, check_window


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One thing wrong with one field; `field` is empty when it is about the event as a whole."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class InvalidEvent(ValueError):
    """The event breaks the contract; `problems` names every bad field."""

    def __init__(self, problems: tuple[FieldProblem, ...]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One valid event, defaults filled in. `event_data` is canonical JSON text; instants are UTC microseconds."""

    event_id: UUID
    version: str
    event_type: str
    event_timestamp: datetime
    event_category: str
    event_action: str
    event_outcome: str
    correlation_id: str
    event_data: str
    actor_type: str
    actor_id: str
    resource_type: str
    resource_id: str
    namespace: str | None
    cluster_name: str | None
    severity: str
    duration_ms: int | None
    parent_event_id: UUID | None
    content_hash: bytes


def read_event(
    document: object, *, now: datetime, new_id: Callable[[], UUID], past: timedelta = PAST_WINDOW
) -> AuditRecord:
    """Check one event and fill in its defaults. Raises InvalidEvent."""
    if not isinstance(document, dict):
        raise InvalidEvent((FieldProblem("", "must be a JSON object"),))
    values, problems = _read_fields(document, now, past)
    if not problems and values["event_id"] is not None and values["event_id"] == values["parent_event_id"]:
        problems.append(FieldProblem("parent_event_id", "must not be the event itself"))
    if problems:
        raise InvalidEvent(tuple(problems))
    return _record(values, new_id)


def _read_fields(
    document: Mapping[str, Any], now: datetime, past: timedelta
) -> tuple[dict[str, Any], list[FieldProblem]]:
    values: dict[str, Any] = {}
    problems = []
    for field in FIELDS:
        value = document.get(field.name)
        try:
            if value is None:
                if field.required:
                    raise ValueError("is required")
            else:
                value = READERS[field.kind](value, field)
                if field.kind is Kind.INSTANT:
                    check_window(value, now, past)
        except ValueError as error:
            problems.append(FieldProblem(field.name, str(error)))
        values[field.name] = value
    return values, problems


def _record(values: dict[str, Any], new_id: Callable[[], UUID]) -> AuditRecord:
    category = values["event_category"]
    defaults = {
        "actor_type": "service",
        "actor_id": f"{category}-service",
        "resource_type": category,
        "resource_id": values["correlation_id"],
        "severity": "info",
    }
    for name, default in defaults.items():
        if values[name] is None:
            values[name] = default
    if values["event_id"] is None:
        values["event_id"] = new_id()
    event_data: EventData = values["event_data"]
    values["event_data"] = event_data.text
    return AuditRecord(**values, content_hash=content_hash(content_text(values)))
