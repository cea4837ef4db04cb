"""Is it alive, does the database answer, is the schema the one this release needs."""

from __future__ import annotations

from dataclasses import dataclass

import orjson
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from datastorage import schema
from datastorage.clock import Clock
from datastorage.events import Answer
from datastorage.partitions import divided, months_of
from models.audit_months import month_of, months_ahead


@dataclass(frozen=True, slots=True)
class Health:
    """The three questions of an orchestrator. `head` is the revision this release needs."""

    engine: Engine
    head: str
    clock: Clock

    def connected(self) -> Answer:
        """Say whether the database answers."""
        try:
            with self.engine.connect() as connection:
                connection.execute(text("SELECT 1"))
        except SQLAlchemyError:
            return _answer(503, {"status": "unhealthy", "database": "disconnected"})
        return _answer(200, {"status": "healthy", "database": "connected"})

    def ready(self) -> Answer:
        """Say whether requests can be served: the database answers, schema and partitions are there."""
        try:
            with self.engine.connect() as connection:
                revision = schema.current(connection)
                ahead = self._ahead(connection)
        except SQLAlchemyError:
            return _answer(503, {"status": "not ready", "database": "disconnected"})
        found: dict[str, str | int | None] = {"database": "connected", "schema": revision, "schema_needed": self.head}
        found |= {} if ahead is None else {"partitions_ahead": ahead}
        if revision != self.head or (ahead is not None and ahead < 0):
            return _answer(503, {"status": "not ready", **found})
        return _answer(200, {"status": "ready", **found})

    def _ahead(self, connection: Connection) -> int | None:
        if not divided(connection):
            return None
        return months_ahead(months_of(connection), month_of(self.clock.now()))


def _answer(status: int, content: dict[str, str | int | None]) -> Answer:
    return Answer(status, orjson.dumps(content), {})
