"""The schema's revision: what the database has, what this release needs, and how to get there.

One migration at a time: on PostgreSQL an advisory lock, on SQLite its write lock lets a second one wait and then find
nothing to do. A migration that fails leaves the revision it started from.
"""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from datastorage.engine import writing

_SCRIPTS = "datastorage:migrations"
_LOCK = 7_233_871_604  # any number, the same for every release


def head() -> str:
    """Return the one revision this release needs."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    if revision is None:
        raise RuntimeError("no migrations are installed")
    return revision


def current(connection: Connection) -> str | None:
    """Return the revision the database has, None before the first migration."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(engine: Engine, revision: str = "head") -> str | None:
    """Migrate up and return the revision reached."""
    with writing(engine).begin() as connection:
        _lock(connection)
        command.upgrade(_config(connection), revision)
        return current(connection)


def downgrade(engine: Engine, revision: str) -> str | None:
    """Migrate down, losing what the later revisions hold, and return the revision reached."""
    with writing(engine).begin() as connection:
        _lock(connection)
        command.downgrade(_config(connection), revision)
        return current(connection)


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", _SCRIPTS)
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        # A long index build must not run into the limits of ordinary requests.
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
