"""The legal holds as they stand in their table, whatever somebody wrote into it past the service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, select, type_coerce
from sqlalchemy.types import NullType

from datastorage.reading_back import instant_of, streamed
from datastorage.settings import Driver
from models.audit_held import HOLD_TYPES, Terms, instant_text, unset
from models.audit_hold import EVERYTHING
from models.audit_upkeep import HOLDS_CHAIN
from models.audit_verify import Fault
from models.tables import audit_events, audit_holds

_H = audit_holds.c

TOLD_IN: ColumnElement[str] = case((_H.correlation_id == EVERYTHING, HOLDS_CHAIN), else_=_H.correlation_id)
"""The chain that tells of a hold."""


def standing(connection: Connection, held: str) -> Terms | None:
    """Return what stands for a chain, or for EVERYTHING."""
    return next((terms for _, terms in standing_holds(connection, _H.correlation_id == held)), None)


def standing_holds(connection: Connection, *conditions: Any) -> Iterator[tuple[str, Terms]]:
    """Yield the holds that match, each with what it is on."""
    raw = connection.dialect.name == Driver.SQLITE
    columns = (_H.correlation_id, _H.reason, _H.set_by, _H.requested_by, _H.set_at)
    wanted = select(*[type_coerce(column, NullType()) if raw else column for column in columns])
    for row in streamed(connection, wanted.where(*conditions).order_by(_H.correlation_id)):
        held, reason, set_by, requested_by, at = row
        instant = instant_text(instant_of(at) if raw else at)
        yield str(held), Terms(_text(reason), _text(set_by), _text(requested_by), _text(instant))


def holds_without_event(connection: Connection, correlation_id: str | None) -> Iterator[Fault]:
    """Tell of the holds whose chain, or of all whose chains, say nothing of any hold."""
    events = audit_events.c
    says = select(1).where(events.correlation_id == TOLD_IN, events.event_type.in_(HOLD_TYPES)).exists()
    conditions = [~says] if correlation_id is None else [~says, TOLD_IN.in_([correlation_id])]
    for held, _ in standing_holds(connection, *conditions):
        yield unset(held)


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)
