"""The partitions of `audit_events` on PostgreSQL, one a month by the instant of storing, made ahead by the service.

There is no default partition: with rows in it no partition of their month could be made any more. What comes in a
month that has none yet makes it first. A partition is made as a table of its own and then attached, which holds up
neither readers nor writers. On SQLite there is one table and nothing to do.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from datastorage.clock import Clock
from datastorage.engine import writing
from datastorage.metrics import Metrics
from datastorage.settings import Driver
from models.audit_months import Month, month_of, months_ahead

T = TypeVar("T")

MONTHS_AHEAD = 3
_LOCK = 7_233_871_606  # any number of its own, the same for every release
_NAME = re.compile(r"audit_events_([0-9]{4})_([0-9]{2})")
_CHILDREN = text(
    "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid "
    "WHERE inhparent = to_regclass('audit_events')"
)
_DIVIDED = text("SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass('audit_events')")
_NO_PARTITION = "23514"  # check_violation: the only check there is

log = logging.getLogger("datastorage.partitions")


class Partitions:
    """Makes the partitions of one database ahead of their months."""

    def __init__(self, engine: Engine, clock: Clock, metrics: Metrics) -> None:
        self._engine = engine
        self._clock = clock
        self._metrics = metrics

    def make_ahead(self) -> None:
        """Make what is missing of the present month and those that follow it, and say how many are there."""
        present = month_of(self._clock.now())
        there = make_partitions(self._engine, (present.after(months) for months in range(MONTHS_AHEAD + 1)))
        if there is not None:
            self._metrics.tell_partitions(months_ahead(there, present))


def make_partitions(engine: Engine, months: Iterable[Month]) -> set[Month] | None:
    """Make what is missing of these months and return all that are there; None where nothing is divided."""
    with writing(engine).begin() as connection:
        if not divided(connection):
            return None
        # Whoever comes second waits, and finds them there.
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        there = months_of(connection)
        missing = sorted(set(months) - there)
        for month in missing:
            _attach(connection, month)
    if missing:
        log.info("partitions made", extra={"fields": {"months": [str(month) for month in missing]}})
    return there | set(missing)


def in_month(engine: Engine, recorded_at: datetime, work: Callable[[], T]) -> T:
    """Store something, and once more when its month had no partition yet."""
    try:
        return work()
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _NO_PARTITION:
            raise
    make_partitions(engine, [month_of(recorded_at)])
    return work()


def divided(connection: Connection) -> bool:
    """Say whether the events are divided by month."""
    return connection.dialect.name == Driver.POSTGRESQL and bool(connection.execute(_DIVIDED).scalar())


def months_of(connection: Connection) -> set[Month]:
    """Return the months that have a partition."""
    names = (_NAME.fullmatch(name) for name in connection.execute(_CHILDREN).scalars())
    return {Month(int(name[1]), int(name[2])) for name in names if name}


def table_of(month: Month) -> str:
    """Return the name of a month's partition."""
    return f"audit_events_{month.year:04}_{month.number:02}"


def _attach(connection: Connection, month: Month) -> None:
    """Make the partition of a month that has none."""
    name = table_of(month)
    # CREATE TABLE … PARTITION OF would wait for every reader, and everybody else for it.
    connection.exec_driver_sql(f"CREATE TABLE {name} (LIKE audit_events INCLUDING DEFAULTS INCLUDING STORAGE)")
    bounds = f"FROM ('{month.begin.isoformat()}') TO ('{month.end.isoformat()}')"
    connection.exec_driver_sql(f"ALTER TABLE audit_events ATTACH PARTITION {name} FOR VALUES {bounds}")
