"""Is it alive, does the database answer, is the schema the one this release needs."""

from __future__ import annotations

from dataclasses import dataclass

import orjson
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from datastorage import schema
from datastorage.events import Answer


@dataclass(frozen=True, slots=True)
class Health:
    """The three questions of an orchestrator. `head` is the revision this release needs."""

    engine: Engine
    head: str

    def connected(self) -> Answer:
        """Say whether the database answers."""
        try:
            with self.engine.connect() as connection:
                connection.execute(text("SELECT 1"))
        except SQLAlchemyError:
            return _answer(503, {"status": "unhealthy", "database": "disconnected"})
        return _answer(200, {"status": "healthy", "database": "connected"})

    def ready(self) -> Answer:
        """Say whether requests can be served: the database answers and its schema is the latest."""
        try:
            with self.engine.connect() as connection:
                revision = schema.current(connection)
        except SQLAlchemyError:
            return _answer(503, {"status": "not ready", "database": "disconnected"})
        found = {"database": "connected", "schema": revision, "schema_needed": self.head}
        if revision != self.head:
            return _answer(503, {"status": "not ready", **found})
        return _answer(200, {"status": "ready", **found})


def _answer(status: int, content: dict[str, str | None]) -> Answer:
    return Answer(status, orjson.dumps(content), {})
