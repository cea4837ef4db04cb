"""Verifying the record of ids, which decides what is stored already.

An id without its record would let an event be stored twice; a record without its event, or of another content, lets one
that comes be taken for stored. What the chains tell of an event is not told again here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID

from sqlalchemy import Connection, func, select

from models.audit_removal import Removal
from models.audit_verify import Fault, FaultKind, Placed
from models.tables import audit_event_ids, audit_events, audit_removals

_AT_ONCE = 500
_NAMED = 100  # records without an event


class Identities:
    """Compares events that are as they were chained with the records of their ids, some hundred at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._events: dict[UUID, Placed] = {}

    def add(self, event: Placed) -> Iterator[Fault]:
        """Look at one more event."""
        try:
            self._events[UUID(event.event_id)] = event
        except ValueError:
            return  # no id: the chain tells of it
        if len(self._events) >= _AT_ONCE:
            yield from self.finish()

    def finish(self) -> Iterator[Fault]:
        """Look at those that are left."""
        ids = audit_event_ids.c
        wanted = select(ids.event_id, ids.content_hash).where(ids.event_id.in_(self._events))
        recorded = {event_id: bytes(value) for event_id, value in self._connection.execute(wanted)}
        for event_id, event in self._events.items():
            if event_id not in recorded:
                yield _fault(event, "the record of its id was removed: the same event would be stored again")
            elif recorded[event_id] != event.content:
                yield _fault(event, "its id was recorded with another content: it, or the record, was changed")
        self._events.clear()


def check_count(connection: Connection, events: int, removals: Sequence[Removal]) -> Iterator[Fault]:
    """Compare how many ids are recorded with the events that are there and those that retention removed.

    Only where nothing else is wrong: what removed an event has been told.
    """
    stubs = connection.execute(select(func.count()).select_from(audit_removals)).scalar_one()
    recorded = connection.execute(select(func.count()).select_from(audit_event_ids)).scalar_one()
    removed = sum(removal.events for removal in removals)
    if stubs != len(removals) or recorded == events + removed:
        return
    detail = f"{recorded} ids are recorded, for {events} events and {removed} that retention removed"
    yield Fault(kind=FaultKind.IDENTITY, detail=f"{detail}: an event with an id too many would be taken for stored")
    if removed:
        return
    ids = audit_event_ids.c.event_id
    alone = select(ids).where(ids.not_in(select(audit_events.c.event_id))).order_by(ids).limit(_NAMED)
    for event_id in connection.execute(alone).scalars():
        yield Fault(kind=FaultKind.IDENTITY, detail="this id is recorded without an event", event_id=str(event_id))


def _fault(event: Placed, detail: str) -> Fault:
    return Fault(
        kind=FaultKind.IDENTITY,
        detail=detail,
        correlation_id=event.correlation_id,
        position=event.place.position,
        event_id=event.event_id,
    )
