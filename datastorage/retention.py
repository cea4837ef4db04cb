"""Removing months that are older than what is kept, in one transaction with the signed stub that says so.

A month goes whole or not at all: not while anything in it is on legal hold, also on one whose row was taken away past
the service, and not when one of its events is not as it was written, which a removal would cover up. A crash at any
point leaves everything as it was, and the next round begins anew. On PostgreSQL a month goes with its partition, which
waits two seconds at most for those who read.
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
from datastorage.departing import columns_of_stretch, stretches_within
from datastorage.engine import writing
from datastorage.holds import holds_of, keep_holds
from datastorage.keys import SigningKey
from datastorage.metrics import Metrics
from datastorage.outcome import Outcome, Stays, What, told
from datastorage.partitions import divided, in_month, months_of, table_of
from datastorage.reading_back import events_by_chain, patient
from datastorage.removals import Gone, columns_of, newest_removal
from datastorage.repository import append
from datastorage.standing import standing
from datastorage.verification import placed
from models.audit_chain import GENESIS
from models.audit_held import HOLD_TYPES, HoldWalk
from models.audit_hold import EVERYTHING
from models.audit_months import Keep, Month, month_of, read_month
from models.audit_removal import Removal, StretchDigest
from models.audit_upkeep import HOLDS_CHAIN, RETENTION_CHAIN, UpkeepType, upkeep_record
from models.errors import Misconfigured
from models.tables import audit_events, audit_removals, audit_removed

_LOCK = 7_233_871_608  # any number of its own, the same for every release
# Everybody else waits as long for who removes a partition; a vacuum gives way to him after one (deadlock_timeout).
_PATIENCE = "2s"
_PAGE = 1000
_E = audit_events.c
_TOLD_HOLDS = 10

log = logging.getLogger("datastorage.retention")


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
        for _ in self.months():
            pass

    def months(self, *, dry: bool = False) -> Iterator[Outcome]:
        """Do it and yield what became of each month up to the present one; `dry`: of what would, and remove nothing."""
        now = self._clock.now()
        with self._engine.connect() as connection:
            stored = sorted(month for month in _stored(connection) if month <= month_of(now))
        for month in stored:
            if self._keep.is_over(month, now):
                yield self._outcome(month, dry=dry)
            else:
                yield Outcome(month, What.KEPT, f"until {self._keep.end_of(month):%Y-%m-%d}")

    def _outcome(self, month: Month, *, dry: bool) -> Outcome:
        now = self._clock.now()
        try:
            removal = in_month(self._engine, now, lambda: self._remove(month, now, dry=dry))
        except Stays as stays:
            if stays.what is not What.REMOVABLE:
                refused = stays.what is What.REFUSED
                self._metrics.months_refused.inc(refused)
                level, reason = logging.ERROR if refused else logging.INFO, {"month": str(month), "reason": str(stays)}
                log.log(level, "a month is not removed", extra={"fields": reason})
            return Outcome(month, stays.what, str(stays))
        self._metrics.months_removed.inc()
        fields = {"month": str(month), "events": removal.events, "chains": removal.chains, "stub": removal.number}
        log.info("a month was removed", extra={"fields": fields})
        return Outcome(month, What.REMOVED, f"{told(removal)}, stub {removal.number}", removal)

    def _remove(self, month: Month, now: datetime, *, dry: bool) -> Removal:
        with writing(self._engine).begin() as connection:
            patient(connection)
            if divided(connection):
                _take(connection, month)
            _check_holds(connection, month)
            removal = self._stub(connection, month, now)
            # Whoever sets a hold from here on waits; whoever did before is seen.
            keep_holds(connection)
            _check_holds(connection, month)
            _check_told_holds(connection, month, removal)
            if dry:
                raise Stays(What.REMOVABLE, told(removal))
            self._tell(connection, removal, now)
            _drop(connection, month)
        return removal

    def _stub(self, connection: Connection, month: Month, now: datetime) -> Removal:
        """Write which stretches are going to be gone, and sign them."""
        last = newest_removal(connection)
        number, previous = (last.number + 1, last.hash) if last else (1, GENESIS)
        gone, chains = StretchDigest(), 0
        chain: str | None = None
        stretches = stretches_within(connection, _within(month))
        while page := list(islice(stretches, _PAGE)):
            rows = []
            for stretch in page:
                gone.add(stretch)
                chains += stretch.correlation_id != chain
                chain = stretch.correlation_id
                rows.append(columns_of_stretch(stretch) | {"number": number, "ordinal": gone.count})
            connection.execute(insert(audit_removed), rows)
        if not gone.count:
            raise Stays(What.LEFT, "there is nothing of it")
        removal = Removal(
            number, str(month), now, previous, chains, gone.events, gone.count, gone.value(), self._key.key_id
        )
        return removal.signed(self._key.sign(removal.statement))

    def _tell(self, connection: Connection, removal: Removal, now: datetime) -> None:
        connection.execute(insert(audit_removals), columns_of(removal))
        data = {
            "month": removal.month,
            "events": removal.events,
            "chains": removal.chains,
            "stub": removal.number,
            "stub_hash": removal.hash.hex(),
            "keep": str(self._keep),
        }
        kind = UpkeepType.MONTH_REMOVED
        append(connection, [upkeep_record(kind, now, RETENTION_CHAIN, data, new_id=self._clock.new_id)], now)


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
    """Keep everybody else from adding to a month, and from removing one. Raises Stays when somebody else does."""
    connection.execute(text(f"SET LOCAL lock_timeout = '{_PATIENCE}'"))
    if not connection.execute(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": _LOCK}).scalar_one():
        raise Stays(What.LEFT, "another service removes one now")
    if month not in months_of(connection):
        raise Stays(What.LEFT, "it is gone")
    connection.exec_driver_sql(f"LOCK TABLE {table_of(month)} IN SHARE MODE")


def _check_holds(connection: Connection, month: Month) -> None:
    """Raise Stays when a hold keeps the month."""
    holds = holds_of(connection, *_within(month))
    if EVERYTHING in holds:
        raise Stays(What.HELD, "everything is on legal hold")
    if holds:
        more = ", …" if len(holds) > _TOLD_HOLDS else ""
        raise Stays(What.HELD, f"on legal hold: {', '.join(holds[:_TOLD_HOLDS])}{more}")


def _check_told_holds(connection: Connection, month: Month, removal: Removal) -> None:
    """Raise Stays when a chain says that the month is on a hold which is not there any more.

    The stub of this removal stands already, and tells nothing of what came before it.
    """
    gone = Gone(connection, range(1, removal.number))
    walk = HoldWalk(lambda held: standing(connection, held), gone.behind)
    other = audit_events.alias().c
    inside = select(1).where(
        other.correlation_id == _E.correlation_id, other.recorded_at >= month.begin, other.recorded_at < month.end
    )
    about_it = (_E.correlation_id == HOLDS_CHAIN) | inside.correlate(audit_events).exists()
    with closing(events_by_chain(connection, _E.event_type.in_(HOLD_TYPES), about_it)) as rows:
        faults = [fault for row in rows for fault in walk.follow(placed(row), row)]
    for fault in (*faults, *walk.finish()):
        raise Stays(What.REFUSED, f"{fault.correlation_id} event {fault.position} ({fault.event_id}): {fault.detail}")


def _drop(connection: Connection, month: Month) -> None:
    if divided(connection):
        connection.exec_driver_sql(f"DROP TABLE {table_of(month)}")
    else:
        connection.execute(delete(audit_events).where(*_within(month)))


def _within(month: Month) -> tuple[Any, ...]:
    return audit_events.c.recorded_at >= month.begin, audit_events.c.recorded_at < month.end
