"""Taking checkpoints: naming the ends of the chains that have grown, signing them, and leaving a trace elsewhere.

The anchor is a file outside the database that each checkpoint is added to: it shows when an older database was
restored, which is consistent in itself. It proves as much as its place is safe.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, insert, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from datastorage.clock import Clock
from datastorage.database_errors import describe
from datastorage.engine import writing
from datastorage.keys import PublicKeys, SigningKey
from datastorage.metrics import Metrics
from datastorage.settings import Driver
from models.audit_chain import Head
from models.audit_checkpoint import Checkpoint, HeadsDigest, before_the_first
from models.tables import audit_chains, audit_checkpoint_heads, audit_checkpoints

_PAGE = 1000
_MOST = 10_000  # chains in one checkpoint, but for the last page
_LOCK = 7_233_871_605  # any number of its own, the same for every release

log = logging.getLogger("datastorage.checkpoint")


@dataclass(frozen=True, slots=True)
class Seals:
    """Who signs, whom to trust, and where the anchor is; nothing of it needs to be there."""

    key: SigningKey | None = None
    trusted: PublicKeys = field(default_factory=lambda: PublicKeys(()))
    anchor: Path | None = None


class Checkpoints:
    """Takes checkpoints of one database with one key."""

    def __init__(self, engine: Engine, seals: Seals, clock: Clock, metrics: Metrics) -> None:
        self._writing = writing(engine)
        self._seals = seals
        self._clock = clock
        self._metrics = metrics

    def take(self, key: SigningKey) -> tuple[Checkpoint | None, bool]:
        """Return the newest checkpoint and whether it is new: without a change since the last there is none to take.

        Many chains that grew are shared out among several, so that writers wait for none of them long.
        """
        try:
            latest, new = self._take_one(key)
            more = new
            while more and latest is not None and latest.changed >= _MOST:
                latest, more = self._take_one(key)
        except (SQLAlchemyError, OSError):
            self._metrics.checkpoints_failed.inc()
            raise
        return latest, new

    def _take_one(self, key: SigningKey) -> tuple[Checkpoint | None, bool]:
        with self._writing.begin() as connection:
            if connection.dialect.name == Driver.POSTGRESQL:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            last = newest(connection)
            taken = self._take(connection, key, last)
        if taken is None:
            return last, False
        if self._seals.anchor is not None:
            _add_line(self._seals.anchor, json.dumps(taken.document()))
        self._metrics.checkpoints.inc()
        log.info(
            "checkpoint", extra={"fields": {"number": taken.number, "events": taken.events, "hash": taken.hash.hex()}}
        )
        return taken, True

    def _take(self, connection: Connection, key: SigningKey, last: Checkpoint | None) -> Checkpoint | None:
        number, before = (last.number, last.hash) if last else before_the_first()
        chains, events = (last.chains, last.events) if last else (0, 0)
        digest = HeadsDigest()
        for page in _grown(connection):
            rows = []
            for correlation_id, end, seen in page:
                digest.add(correlation_id, end)
                chains += seen == 0
                events += end.position - seen
                named = {"correlation_id": correlation_id, "position": end.position, "hash": end.hash}
                rows.append({"number": number + 1, "ordinal": digest.count, **named})
            connection.execute(insert(audit_checkpoint_heads), rows)
            # They are held, so their positions are still the ones read.
            held = audit_chains.c.correlation_id.in_([correlation_id for correlation_id, _, _ in page])
            connection.execute(update(audit_chains).where(held).values(checkpointed=audit_chains.c.position))
        if not digest.count:
            return None
        taken = Checkpoint(
            number + 1, self._clock.now(), before, digest.count, digest.value(), chains, events, key.key_id
        )
        taken = taken.signed(key.sign(taken.statement))
        connection.execute(insert(audit_checkpoints), columns_of(taken))
        return taken


def _grown(connection: Connection) -> Iterator[list[tuple[str, Head, int]]]:
    """Yield the chains that have grown, in pages; one that somebody is writing to now is left to the next checkpoint.

    Skipping them, a checkpoint waits for nobody and cannot be part of a deadlock.
    """
    table = audit_chains.c
    page = select(table.correlation_id, table.position, table.hash, table.checkpointed)
    page = page.where(text("position <> checkpointed")).order_by(table.correlation_id).limit(_PAGE)
    page = page.with_for_update(skip_locked=True)
    after, count = "", 0
    while count < _MOST and (rows := connection.execute(page.where(table.correlation_id > after)).all()):
        count += len(rows)
        yield [(name, Head(position, bytes(value)), seen) for name, position, value, seen in rows]
        after = rows[-1][0]


def newest(connection: Connection) -> Checkpoint | None:
    """Return the checkpoint with the highest number."""
    found = connection.execute(
        select(audit_checkpoints).order_by(audit_checkpoints.c.number.desc()).limit(1)
    ).mappings()
    row = found.first()
    return None if row is None else from_columns(dict(row))


def from_columns(row: dict[str, Any]) -> Checkpoint:
    """Read a row of `audit_checkpoints`."""
    return Checkpoint(**row)


def columns_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return a row of `audit_checkpoints`."""
    return {str(column.name): getattr(checkpoint, column.name) for column in audit_checkpoints.c}


class Rounds:
    """Takes a checkpoint now and then in a thread of its own, until it is stopped."""

    def __init__(self, checkpoints: Checkpoints, key: SigningKey, interval: timedelta) -> None:
        self._checkpoints = checkpoints
        self._key = key
        self._interval = interval.total_seconds()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="checkpoints")

    def __enter__(self) -> Rounds:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._interval):
            try:
                self._checkpoints.take(self._key)
            except SQLAlchemyError as error:
                log.error("no checkpoint was taken", extra={"fields": {"error": describe(error)}})
            except OSError as error:
                log.error("the anchor file was not written", extra={"fields": {"error": error.strerror}})


def _add_line(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())
