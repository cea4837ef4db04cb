"""Storing and finding audit events: one transaction a batch, all of it or nothing.

An event is unique by its row in `audit_event_ids`; who inserts that row first stores the event. Ids are inserted in
sorted order, so that two batches that overlap wait for each other in one direction and never deadlock. What is new
goes to the end of the chain of its correlation id (`datastorage.chaining`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Engine, Select, func, select, tuple_

from datastorage.bulk import add_events, claim_ids
from datastorage.chaining import link_events
from datastorage.engine import reading, writing
from datastorage.partitions import in_month
from datastorage.query import Cursor, Query
from models.audit_request import AuditRecord
from models.tables import audit_event_ids, audit_events

_SHOWN = [column for column in audit_events.c if column.name != "sequence"]
_SHOWN_NAMES = [str(column.name) for column in _SHOWN]


class EventConflict(Exception):
    """An id is taken by another content. `index` is the place in the batch."""

    def __init__(self, index: int, event_id: UUID) -> None:
        super().__init__(f"event_id {event_id} was used with another content")
        self.index = index
        self.event_id = event_id


class UnknownParent(Exception):
    """Parents that are neither stored nor earlier in the batch; `indexes` are the places of their children."""

    def __init__(self, indexes: tuple[int, ...]) -> None:
        super().__init__("parent_event_id does not exist")
        self.indexes = indexes


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the rows that match, in the order asked for, and how many match in all."""

    rows: Sequence[dict[str, Any]]
    total: int
    end: Cursor | None  # None when no more rows follow


class Repository:
    """The audit events of one database."""

    def __init__(self, engine: Engine) -> None:
        self._writing = writing(engine)
        self._reading = reading(engine)

    def store(self, records: Sequence[AuditRecord], recorded_at: datetime) -> frozenset[UUID]:
        """Store what is not stored yet and return the ids that are new.

        Raises:
            EventConflict: an id was used with another content, there or earlier in this batch.
            UnknownParent: a parent does not exist.
        """

        def work() -> frozenset[UUID]:
            with self._writing.begin() as connection:
                return append(connection, records, recorded_at)

        return in_month(self._writing, recorded_at, work)

    def find(self, query: Query) -> Page:
        """Return one page and the total, both of the same snapshot."""
        with self._reading.begin() as connection:
            total = connection.execute(count_of(query)).scalar_one()
            found = connection.execute(page_of(query)).all()
        rows = [dict(zip(_SHOWN_NAMES, row, strict=False)) for row in found[: query.limit]]
        last = found[query.limit - 1] if len(found) > query.limit else None
        end = Cursor(last.event_timestamp, last.sequence) if last else None
        return Page(rows, total, end)


def count_of(query: Query) -> Select[int]:
    """Ask how many events match."""
    return select(func.count()).select_from(audit_events).where(*_conditions(query))


def page_of(query: Query) -> Select[Any]:
    """Ask for one page and one row more, which tells whether there is another."""
    places = (audit_events.c.event_timestamp, audit_events.c.sequence)
    order = [place.desc() for place in places] if query.order == "newest" else list(places)
    page = select(*_SHOWN, audit_events.c.sequence).where(*_conditions(query), *_behind(query)).order_by(*order)
    return page.limit(query.limit + 1).offset(query.offset)


def append(connection: Connection, records: Sequence[AuditRecord], recorded_at: datetime) -> frozenset[UUID]:
    """Store in the caller's transaction. Raises what `Repository.store` raises."""
    unique = _unique(records)
    _check_parents(connection, records)
    fresh = claim_ids(connection, {key: record.content_hash for key, record in unique.items()})
    if len(fresh) < len(unique):
        _check_known(connection, records, unique.keys() - fresh)
    new = [record for event_id, record in unique.items() if event_id in fresh]
    if new:
        add_events(connection, link_events(connection, new, recorded_at), recorded_at)
    return fresh


def _unique(records: Sequence[AuditRecord]) -> dict[UUID, AuditRecord]:
    unique: dict[UUID, AuditRecord] = {}
    for index, record in enumerate(records):
        first = unique.setdefault(record.event_id, record)
        if first.content_hash != record.content_hash:
            raise EventConflict(index, record.event_id)
    return unique


def _check_parents(connection: Connection, records: Sequence[AuditRecord]) -> None:
    earlier: set[UUID] = set()
    outside: dict[int, UUID] = {}
    for index, record in enumerate(records):
        if record.parent_event_id is not None and record.parent_event_id not in earlier:
            outside[index] = record.parent_event_id
        earlier.add(record.event_id)
    if not outside:
        return
    ids = audit_event_ids.c.event_id
    stored = set(connection.execute(select(ids).where(ids.in_(set(outside.values())))).scalars())
    missing = tuple(index for index, parent in outside.items() if parent not in stored)
    if missing:
        raise UnknownParent(missing)


def _check_known(connection: Connection, records: Sequence[AuditRecord], known: set[UUID]) -> None:
    found = connection.execute(select(audit_event_ids).where(audit_event_ids.c.event_id.in_(known)))
    hashes: dict[UUID, bytes] = {event_id: bytes(content_hash) for event_id, content_hash in found}
    for index, record in enumerate(records):
        if hashes.get(record.event_id, record.content_hash) != record.content_hash:
            raise EventConflict(index, record.event_id)


def _behind(query: Query) -> list[ColumnElement[bool]]:
    if query.cursor is None:
        return []
    place = tuple_(audit_events.c.event_timestamp, audit_events.c.sequence)
    end = (query.cursor.instant, query.cursor.sequence)
    return [place < end if query.order == "newest" else place > end]


def _conditions(query: Query) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [audit_events.c[name] == value for name, value in query.filters]
    if query.since is not None:
        conditions.append(audit_events.c.event_timestamp >= query.since)
    if query.until is not None:
        conditions.append(audit_events.c.event_timestamp <= query.until)
    return conditions
