"""Removing months that are older than what is kept, in one transaction with the signed stub that says so.

A month goes whole or not at all: not while anything in it is on legal hold, and not when one of its events is not as it
was written, which a removal would cover up. A crash at any point leaves everything as it was, and the next round begins
anew. On PostgreSQL a month goes with its partition, which waits two seconds at most for those who read.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, insert, select, text

from datastorage.checkpoints import Seals
from datastorage.clock import Clock
from datastorage.engine import writing
from datastorage.holds import holds_of, keep_holds
from datastorage.keys import SigningKey
from datastorage.metrics import Metrics
from datastorage.partitions import divided, in_month, months_of, table_of
from datastorage.reading_back import events_by_chain, patient
from datastorage.removals import columns_of, newest_removal
from datastorage.repository import append
from datastorage.verification import placed
from models.audit_chain import GENESIS, link
from models.audit_hold import EVERYTHING
from models.audit_months import Keep, Month, read_month
from models.audit_removal import Removal, StretchDigest
from models.audit_stretch import Stretch
from models.audit_upkeep import RETENTION_CHAIN, UpkeepType, upkeep_record
from models.audit_verify import Placed
from models.errors import Misconfigured
from models.tables import audit_events, audit_removals, audit_removed

_LOCK = 7_233_871_608  # any number of its own, the same for every release
# Everybody else waits as long for who removes a partition; a vacuum gives way to him after one (deadlock_timeout).
_PATIENCE = "2s"
_PAGE = 1000
_TOLD_HOLDS = 10

log = logging.getLogger("datastorage.retention")


class _Damaged(Exception):
    """An event of the month is not as it was written."""


class _Kept(Exception):
    """The month stays; nothing that was begun may."""


class Retention:
    """Removes the months of one database that are over. Raises Misconfigured without a key to sign with."""

    def __init__(self, engine: Engine, seals: Seals, clock: Clock, metrics: Metrics, keep: Keep) -> None:
        if seals.key is None:
            raise Misconfigured(f"retention.keep={keep}: allowed only with checkpoint.key_file, which signs for it")
        self._key: SigningKey = seals.key
        self._engine = engine
        self._clock = clock
        self._metrics = metrics
        self._keep = keep

    def run(self) -> None:
        """Remove every month that is over and that nothing keeps."""
        now = self._clock.now()
        with self._engine.connect() as connection:
            over = sorted(month for month in _stored(connection) if self._keep.is_over(month, now))
        for month in over:
            self.remove(month)

    def remove(self, month: Month) -> Removal | None:
        """Remove a month and return its stub; None where it is kept, or where there is nothing of it."""
        now = self._clock.now()
        try:
            removal = in_month(self._engine, now, lambda: self._remove(month, now))
        except _Kept as kept:
            log.info("a month is not removed", extra={"fields": {"month": str(month), "reason": str(kept)}})
            return None
        except _Damaged as damaged:
            self._metrics.months_refused.inc()
            log.error("a month is not removed", extra={"fields": {"month": str(month), "reason": str(damaged)}})
            return None
        self._metrics.months_removed.inc()
        fields = {"month": str(month), "events": removal.events, "chains": removal.chains, "stub": removal.number}
        log.info("a month was removed", extra={"fields": fields})
        return removal

    def _remove(self, month: Month, now: datetime) -> Removal:
        with writing(self._engine).begin() as connection:
            patient(connection)
            if divided(connection):
                _take(connection, month)
            _check_holds(connection, month)
            removal = self._stub(connection, month, now)
            # Whoever sets a hold from here on waits; whoever did before is seen.
            keep_holds(connection)
            _check_holds(connection, month)
            self._tell(connection, removal, now)
            _drop(connection, month)
        return removal

    def _stub(self, connection: Connection, month: Month, now: datetime) -> Removal:
        """Write which stretches are going to be gone, and sign them."""
        last = newest_removal(connection)
        number, previous = (last.number + 1, last.hash) if last else (1, GENESIS)
        gone, chains = StretchDigest(), 0
        chain: str | None = None
        stretches = _stretches(connection, month)
        while page := list(islice(stretches, _PAGE)):
            rows = []
            for stretch in page:
                gone.add(stretch)
                chains += stretch.correlation_id != chain
                chain = stretch.correlation_id
                rows.append(_columns(stretch) | {"number": number, "ordinal": gone.count})
            connection.execute(insert(audit_removed), rows)
        if not gone.count:
            raise _Kept("there is nothing of it")
        removal = Removal(
            number, str(month), now, previous, chains, gone.events, gone.count, gone.value(), self._key.key_id
        )
        return removal.signed(self._key.sign(removal.statement))

    def _tell(self, connection: Connection, removal: Removal, now: datetime) -> None:
        connection.execute(insert(audit_removals), columns_of(removal))
        told = {
            "month": removal.month,
            "events": removal.events,
            "chains": removal.chains,
            "stub": removal.number,
            "stub_hash": removal.hash.hex(),
            "keep": str(self._keep),
        }
        kind = UpkeepType.MONTH_REMOVED
        append(connection, [upkeep_record(kind, now, RETENTION_CHAIN, told, new_id=self._clock.new_id)], now)


def _stored(connection: Connection) -> set[Month]:
    """Return the months that may have events."""
    if divided(connection):
        return months_of(connection)
    months = set()
    for found in connection.execute(select(func.substr(audit_events.c.recorded_at, 1, 7)).distinct()).scalars():
        try:
            months.add(read_month(str(found)))
        except ValueError:
            continue  # a value that somebody put there: no month of ours
    return months


def _take(connection: Connection, month: Month) -> None:
    """Keep everybody else from adding to a month, and from removing one. Raises _Kept when somebody else does."""
    connection.execute(text(f"SET LOCAL lock_timeout = '{_PATIENCE}'"))
    if not connection.execute(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": _LOCK}).scalar_one():
        raise _Kept("another service removes one now")
    if month not in months_of(connection):
        raise _Kept("it is gone")
    connection.exec_driver_sql(f"LOCK TABLE {table_of(month)} IN SHARE MODE")


def _check_holds(connection: Connection, month: Month) -> None:
    """Raise _Kept when a hold keeps the month."""
    holds = holds_of(connection, *_within(month))
    if EVERYTHING in holds:
        raise _Kept("everything is on legal hold")
    if holds:
        more = ", …" if len(holds) > _TOLD_HOLDS else ""
        raise _Kept(f"on legal hold: {', '.join(holds[:_TOLD_HOLDS])}{more}")


def _drop(connection: Connection, month: Month) -> None:
    if divided(connection):
        connection.exec_driver_sql(f"DROP TABLE {table_of(month)}")
    else:
        connection.execute(delete(audit_events).where(*_within(month)))


def _within(month: Month) -> tuple[Any, ...]:
    return audit_events.c.recorded_at >= month.begin, audit_events.c.recorded_at < month.end


def _stretches(connection: Connection, month: Month) -> Iterator[Stretch]:
    """Yield the stretches of chains that a month has, each event compared with its hash. Raises _Damaged."""
    first: Placed | None = None
    last: Placed | None = None
    before = GENESIS
    with closing(events_by_chain(connection, *_within(month))) as rows:
        for event in map(placed, rows):
            place = event.place
            goes_on = last and (event.correlation_id, place.position) == (last.correlation_id, last.place.position + 1)
            if not goes_on:
                if first and last:
                    yield _stretch(first, last, before)
                first, before = event, _hash_before(connection, event)
            hash_before = last.place.hash if last and goes_on else before
            if link(hash_before, place.position, event.content, event.recorded_at) != place.hash:
                told = f"{event.correlation_id} event {place.position} ({event.event_id})"
                raise _Damaged(f"{told} is not as it was written")
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


def _columns(stretch: Stretch) -> dict[str, Any]:
    return {
        "correlation_id": stretch.correlation_id,
        "first_position": stretch.first,
        "last_position": stretch.last,
        "before": stretch.before,
        "hash": stretch.hash,
    }
