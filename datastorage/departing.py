"""Which stretches of chains a removal is going to take, each event compared with its hash while it is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from sqlalchemy import Connection, select

from datastorage.outcome import Stays, What
from datastorage.reading_back import events_by_chain
from datastorage.verification import placed
from models.audit_chain import GENESIS, link
from models.audit_stretch import Stretch
from models.audit_verify import Placed
from models.tables import audit_events, audit_removed


def stretches_within(connection: Connection, conditions: Sequence[Any]) -> Iterator[Stretch]:
    """Yield the stretches of chains that match, each event compared with its hash. Raises Stays."""
    first: Placed | None = None
    last: Placed | None = None
    before = GENESIS
    with closing(events_by_chain(connection, *conditions)) as rows:
        for event in map(placed, rows):
            place = event.place
            goes_on = last and (event.correlation_id, place.position) == (last.correlation_id, last.place.position + 1)
            if not goes_on:
                if first and last:
                    yield _stretch(first, last, before)
                first, before = event, _hash_before(connection, event)
            hash_before = last.place.hash if last and goes_on else before
            if link(hash_before, place.position, event.content, event.recorded_at) != place.hash:
                where = f"{event.correlation_id} event {place.position} ({event.event_id})"
                raise Stays(What.REFUSED, f"{where} is not as it was written")
            last = event
    if first and last:
        yield _stretch(first, last, before)


def _hash_before(connection: Connection, event: Placed) -> bytes:
    """Return the hash that an event follows; empty when that event is missing, which no hash fits."""
    position = event.place.position - 1
    if position <= 0:
        return GENESIS
    stored, gone = audit_events.c, audit_removed.c
    there = (stored.correlation_id == event.correlation_id) & (stored.chain_position == position)
    found = connection.execute(select(stored.chain_hash).where(there)).scalars().first()
    if found is None:
        there = (gone.correlation_id == event.correlation_id) & (gone.last_position == position)
        found = connection.execute(select(gone.hash).where(there)).scalars().first()
    return bytes(found) if isinstance(found, bytes | memoryview) else b""


def _stretch(first: Placed, last: Placed, before: bytes) -> Stretch:
    return Stretch(first.correlation_id, first.place.position, last.place.position, before, last.place.hash)


def columns_of_stretch(stretch: Stretch) -> dict[str, Any]:
    """Return what a row of `audit_removed` says of a stretch."""
    return {
        "correlation_id": stretch.correlation_id,
        "first_position": stretch.first,
        "last_position": stretch.last,
        "before": stretch.before,
        "hash": stretch.hash,
    }
