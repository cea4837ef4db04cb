"""Which database errors pass by themselves, and what may be said about them.

The codes are SQLSTATEs of PostgreSQL (appendix A of its manual) and result codes of SQLite.
"""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

# 08 connection; 40 rolled back (deadlock, serialisation); 53300 too many connections; 55P03 lock timeout;
# 57014 statement timeout; 57P01-57P05 shutting down, starting up, session ended; 25P03 idle in transaction.
_PASSING_STATES = ("08", "40", "53300", "55P03", "57014", "57P0", "25P03")
_PASSING_SQLITE = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_INTERRUPT}


def is_unavailable(error: SQLAlchemyError) -> bool:
    """Say whether the same request may succeed later without anybody changing something."""
    if isinstance(error, PoolTimeout):
        return True
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", 0) & 0xFF in _PASSING_SQLITE
    state: str | None = getattr(cause, "sqlstate", None)
    if state is None:
        # libpq gives no state when it never reached a server or lost it.
        return type(cause).__name__ in ("OperationalError", "InterfaceError", "ConnectionTimeout")
    return state.startswith(_PASSING_STATES)


def describe(error: SQLAlchemyError) -> str:
    """Name the error without anything of the rows: PostgreSQL's messages quote them."""
    cause = getattr(error, "orig", None)
    if cause is None:
        return type(error).__name__
    if isinstance(cause, sqlite3.Error):
        return f"{type(cause).__name__}: {getattr(cause, 'sqlite_errorname', 'unknown')}"
    # The class name says what the state means (UndefinedTable, DiskFull); the message may quote a value.
    state = getattr(cause, "sqlstate", None)
    return f"{type(cause).__name__} {state}" if state else f"{type(cause).__name__}: no connection"
