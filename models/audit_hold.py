"""Legal holds: what is on one is not removed by retention until it is lifted. Reading an ask, writing a hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models.audit_fields import FIELD
from models.audit_request import FieldProblem, InvalidEvent
from models.audit_values import check_characters, format_microseconds

EVERYTHING = ""
"""Stands where a correlation id stands, for a hold on all events."""

REASON_LENGTH = 1024
REQUESTER_LENGTH = 200  # "unverified:" goes before it, into a column of 255


@dataclass(frozen=True, slots=True)
class HoldAsk:
    """Somebody wants a hold set or lifted; `requested_by` is what he says of himself."""

    correlation_id: str
    reason: str
    requested_by: str | None

    def by(self, caller: str | None) -> str:
        """Return who asks: whom a token stands for, or else what he says, marked as not proven."""
        return caller or f"unverified:{self.requested_by or 'unknown'}"


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold. `events` counts what is stored of its chain, None where it is on everything."""

    correlation_id: str
    reason: str
    set_by: str
    requested_by: str | None
    set_at: datetime
    events: int | None = None

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "correlation_id": self.correlation_id or None,
            "everything": self.correlation_id == EVERYTHING,
            "reason": self.reason,
            "set_by": self.set_by,
            "requested_by": self.requested_by,
            "set_at": format_microseconds(self.set_at),
            "events": self.events,
        }


def read_ask(document: Mapping[str, Any]) -> HoldAsk:
    """Check the body of an ask. Raises InvalidEvent naming every bad field."""
    problems: list[FieldProblem] = []

    def read(name: str, reader: Callable[[Any], Any]) -> Any:
        try:
            return reader(document.get(name))
        except ValueError as error:
            problems.append(FieldProblem(name, str(error)))
            return None

    everything = read("everything", _flag)
    chain = read(
        "correlation_id", lambda value: None if value is None else _line(value, FIELD["correlation_id"].longest)
    )
    reason = read("reason", lambda value: _line(value, REASON_LENGTH))
    requester = read("requested_by", lambda value: None if value is None else _line(value, REQUESTER_LENGTH))
    if not problems and everything is (chain is not None):
        problems.append(FieldProblem("correlation_id", "must be given, or everything: true instead of it"))
    if problems:
        raise InvalidEvent(tuple(problems))
    return HoldAsk(EVERYTHING if everything else chain, reason, requester)


def _flag(value: object) -> bool:
    if value is not None and not isinstance(value, bool):
        raise ValueError("must be true or false")
    return bool(value)


def _line(value: object, longest: int) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= longest:
        raise ValueError(f"must be a string of 1 to {longest} characters")
    if not value.strip():
        raise ValueError("must not be blank")
    return check_characters(value)
