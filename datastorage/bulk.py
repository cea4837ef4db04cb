"""The two writes of a batch, in the fastest form each database has, both inside the caller's transaction.

PostgreSQL: ids as two arrays, events by COPY (measured: three times an executed-many INSERT). SQLite: its own
executemany runs in C.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.exc import DBAPIError

from datastorage.chaining import Linked
from datastorage.settings import Driver
from models.audit_fields import FIELDS
from models.tables import audit_event_ids, audit_events

_FIELDS = tuple(field.name for field in FIELDS)
_COPY = f"COPY audit_events ({', '.join(_FIELDS)}, recorded_at, chain_position, chain_hash) FROM STDIN"
_CLAIM_ARRAYS = text(
    "INSERT INTO audit_event_ids (event_id, content_hash) "
    "SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:hashes AS bytea[])) "
    "ON CONFLICT DO NOTHING RETURNING event_id"
)


def claim_ids(connection: Connection, hashes: Mapping[UUID, bytes]) -> frozenset[UUID]:
    """Insert the ids that are not there yet, in sorted order, and return them.

    Where another transaction is about to insert the same id, this waits for its end.
    """
    ids = sorted(hashes)
    if connection.dialect.name == Driver.POSTGRESQL:
        arrays = {"ids": ids, "hashes": [hashes[event_id] for event_id in ids]}
        return frozenset(connection.execute(_CLAIM_ARRAYS, arrays).scalars())
    # SQLite has one writer, and this transaction is it: what is absent now stays absent.
    column = audit_event_ids.c.event_id
    known = set(connection.execute(select(column).where(column.in_(ids))).scalars())
    rows = [{"event_id": event_id, "content_hash": hashes[event_id]} for event_id in ids if event_id not in known]
    if rows:
        connection.execute(insert(audit_event_ids), rows)
    return frozenset(hashes.keys() - known)


def add_events(connection: Connection, events: Sequence[Linked], recorded_at: datetime) -> None:
    """Insert the events in the order given."""
    if connection.dialect.name == Driver.POSTGRESQL:
        _copy(connection, events, recorded_at)
    else:
        connection.execute(insert(audit_events), [row(linked, recorded_at) for linked in events])


def row(linked: Linked, recorded_at: datetime) -> dict[str, Any]:
    """Return the columns of one event."""
    place = {"chain_position": linked.place.position, "chain_hash": linked.place.hash}
    return {name: getattr(linked.record, name) for name in _FIELDS} | {"recorded_at": recorded_at} | place


def _copy(connection: Connection, events: Sequence[Linked], recorded_at: datetime) -> None:
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(_COPY) as copy:
            for linked in events:
                fields = (getattr(linked.record, name) for name in _FIELDS)
                copy.write_row([*fields, recorded_at, linked.place.position, linked.place.hash])
    except psycopg.Error as error:
        # SQLAlchemy does not see this statement: say the same as it would.
        raise DBAPIError("COPY", None, error, hide_parameters=True, connection_invalidated=driver.broken) from error
