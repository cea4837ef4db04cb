"""The SQLAlchemy engine: how connections are made, guarded by timeouts, and told to write or to read.

SQLite runs in WAL mode with full fsync: what was acknowledged survives a power cut. PostgreSQL keeps its own setting
(`synchronous_commit`). Both answer in UTC.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from datastorage.settings import Driver, Settings
from models.errors import Misconfigured

HEALTH_CONNECTIONS = 2
PROVING_CONNECTIONS = 3  # two answers in parts and a checkpoint
UPKEEP_CONNECTIONS = 1
_CONNECT_SECONDS = 5  # one attempt to open a connection
_POOL_WAIT = timedelta(seconds=5)
_WRITES = "datastorage_writes"


def open_engine(settings: Settings) -> Engine:
    """Make the engine; nothing is connected yet. Raises Misconfigured for a URL that is none."""
    url = database_url(settings)
    # Parameters stay out of errors: they are event data.
    common: dict[str, Any] = {"hide_parameters": True, "pool_timeout": _POOL_WAIT.total_seconds(), "max_overflow": 0}
    others = HEALTH_CONNECTIONS + PROVING_CONNECTIONS + UPKEEP_CONNECTIONS
    common["pool_size"] = settings.database.pool_size + others
    if url.get_backend_name() == Driver.SQLITE:
        seconds = settings.database.lock_timeout.total_seconds()
        engine = create_engine(url, connect_args={"timeout": seconds}, **common)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    # Without the ping, the first request on each pooled connection after a database restart would fail.
    return create_engine(url, connect_args=_postgresql_arguments(settings), pool_pre_ping=True, **common)


def database_url(settings: Settings) -> URL:
    """Return where the database is, credentials of the secret file included."""
    database = settings.database
    if database.url:
        try:
            url = make_url(database.url)
        except ArgumentError:
            raise Misconfigured("database.url: allowed is sqlite:///FILE or postgresql://HOST[:PORT]/NAME") from None
    elif database.driver is Driver.SQLITE:
        return URL.create("sqlite", database=database.name)
    else:
        url = URL.create(
            "postgresql", database.user or None, host=database.host, port=database.port, database=database.name
        )
    if url.get_backend_name() == Driver.SQLITE:
        return url
    url = url.set(drivername="postgresql+psycopg")
    if settings.username:
        url = url.set(username=settings.username)
    if settings.password:
        url = url.set(password=settings.password)
    return url


def writing(engine: Engine) -> Engine:
    """Return the engine for transactions that write: on SQLite they take the write lock at their start.

    A transaction that read first and writes later could not upgrade its snapshot and would fail at once.
    """
    return engine.execution_options(**{_WRITES: True})


def reading(engine: Engine) -> Engine:
    """Return the engine for transactions whose statements all see the same rows."""
    if engine.dialect.name == Driver.SQLITE:
        return engine  # a deferred transaction in WAL mode is a snapshot
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver's own transaction control begins too late
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgresql_arguments(settings: Settings) -> dict[str, Any]:
    database = settings.database
    options = {
        "timezone": "UTC",
        "statement_timeout": _milliseconds(database.statement_timeout),
        "lock_timeout": _milliseconds(database.lock_timeout),
        "idle_in_transaction_session_timeout": _milliseconds(database.statement_timeout),
    }
    return {
        "connect_timeout": _CONNECT_SECONDS,
        "application_name": "datastorage",
        "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
        # A server that vanished without a word is noticed within seconds.
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": _milliseconds(database.statement_timeout + timedelta(seconds=5)),
    }


def _milliseconds(duration: timedelta) -> int:
    return int(duration / timedelta(milliseconds=1))
