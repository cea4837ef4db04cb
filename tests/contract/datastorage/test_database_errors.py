"""Which errors of the databases are answered 503, and that a message never quotes a row."""

from __future__ import annotations

import sqlite3

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError, InvalidRequestError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from datastorage.database_errors import describe, is_unavailable


def raised(cause: BaseException, *, lost: bool = False) -> DBAPIError:
    return DBAPIError("INSERT", {}, cause, hide_parameters=True, connection_invalidated=lost)


@pytest.mark.parametrize(
    ("cause", "passing"),
    [
        (psycopg.errors.AdminShutdown(), True),
        (psycopg.errors.CannotConnectNow(), True),
        (psycopg.errors.TooManyConnections(), True),
        (psycopg.errors.QueryCanceled(), True),
        (psycopg.errors.LockNotAvailable(), True),
        (psycopg.errors.DeadlockDetected(), True),
        (psycopg.errors.ConnectionFailure(), True),
        (psycopg.OperationalError("connection refused"), True),
        (psycopg.errors.DiskFull(), False),
        (psycopg.errors.UndefinedTable(), False),
        (psycopg.errors.InvalidPassword(), False),
        (psycopg.errors.StringDataRightTruncation(), False),
    ],
)
def test_postgresql(cause: psycopg.Error, passing: bool) -> None:
    assert is_unavailable(raised(cause)) is passing


@pytest.mark.parametrize(
    ("code", "passing"),
    [
        (sqlite3.SQLITE_BUSY, True),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, True),
        (sqlite3.SQLITE_CANTOPEN, True),
        (sqlite3.SQLITE_FULL, False),
        (sqlite3.SQLITE_CORRUPT, False),
    ],
)
def test_sqlite(code: int, passing: bool) -> None:
    error = sqlite3.OperationalError("some text")
    error.sqlite_errorcode = code
    assert is_unavailable(raised(error)) is passing


def test_a_lost_connection_and_an_exhausted_pool() -> None:
    assert is_unavailable(raised(psycopg.errors.UndefinedTable(), lost=True))
    assert is_unavailable(PoolTimeout())
    assert not is_unavailable(InvalidRequestError())


def test_messages_do_not_quote() -> None:
    quoting = psycopg.errors.InvalidTextRepresentation('invalid input: "secret"')
    assert describe(raised(quoting)) == "InvalidTextRepresentation 22P02"
    assert describe(raised(psycopg.OperationalError("secret"))) == "OperationalError: no connection"
    assert describe(PoolTimeout("secret")) == "TimeoutError"
    error = sqlite3.OperationalError("secret")
    error.sqlite_errorname = "SQLITE_FULL"
    assert describe(raised(error)) == "OperationalError: SQLITE_FULL"
