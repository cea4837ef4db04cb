"""Reading what is stored for a verification or an export: all of it in one snapshot, a few rows at a time.

Values are taken as they stand, whatever somebody wrote into them past the service: on SQLite any column can hold
anything, and a value that is none must become a fault, not an error.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, select, text, type_coerce
from sqlalchemy.types import NullType

from datastorage.settings import Driver
from models.audit_chain import Head
from models.tables import audit_events

_AT_ONCE = 1000
_COLUMNS = list(audit_events.c)
_NAMES = [str(column.name) for column in _COLUMNS]
_IDS = ("event_id", "parent_event_id")
_INSTANTS = ("event_timestamp", "recorded_at")
_NEVER = datetime(1, 1, 1, tzinfo=UTC)


def patient(connection: Connection) -> None:
    """Give the statements of this transaction minutes: whoever reads an answer may be slow."""
    if connection.dialect.name == Driver.POSTGRESQL:
        for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):
            connection.execute(text(f"SET LOCAL {limit} = '10min'"))


def keep_months(connection: Connection) -> None:
    """Let no month be removed until this transaction ends; to be called before it has read anything.

    A partition is dropped for older snapshots, too: what they have not read yet would be missing from them.
    """
    if connection.dialect.name == Driver.POSTGRESQL:
        connection.execute(text("LOCK TABLE audit_events IN ACCESS SHARE MODE"))


def events_by_chain(connection: Connection, *conditions: Any) -> Generator[dict[str, Any]]:
    """Yield rows ordered by correlation id and place; `chain_position` is 0 where it is no number."""
    raw = connection.dialect.name == Driver.SQLITE
    columns = [type_coerce(column, NullType()) for column in _COLUMNS] if raw else _COLUMNS
    table = audit_events.c
    ordered = select(*columns).where(*conditions).order_by(table.correlation_id, table.chain_position)
    with closing(streamed(connection, ordered)) as found:
        for values in found:
            row = dict(zip(_NAMES, values, strict=True))
            yield _from_sqlite(row) if raw else row


def streamed(connection: Connection, query: Select[Any]) -> Generator[Any]:
    """Yield the rows of a query, never holding more than some of them."""
    with connection.execute(query, execution_options={"yield_per": _AT_ONCE}) as rows:
        yield from rows


def place_of(row: dict[str, Any]) -> Head:
    """Return the place that an event claims in its chain."""
    return Head(row["chain_position"], row["chain_hash"])


def _from_sqlite(row: dict[str, Any]) -> dict[str, Any]:
    for name in _IDS:
        row[name] = _uuid(row[name])
    for name in _INSTANTS:
        row[name] = instant_of(row[name])
    if not isinstance(row["recorded_at"], datetime):
        row["recorded_at"] = _NEVER
    for name in ("chain_position", "sequence"):
        row[name] = row[name] if isinstance(row[name], int) else 0
    row["chain_hash"] = row["chain_hash"] if isinstance(row["chain_hash"], bytes) else b""
    return {
        name: value.hex() if name != "chain_hash" and isinstance(value, bytes) else value for name, value in row.items()
    }


def _uuid(value: Any) -> Any:
    try:
        return UUID(value)
    except (ValueError, AttributeError, TypeError):
        return value


def instant_of(value: Any) -> Any:
    """Read an instant as SQLite has it; what is none stays as it is."""
    try:
        return datetime.fromisoformat(value).replace(tzinfo=UTC)
    except (ValueError, TypeError):
        return value
