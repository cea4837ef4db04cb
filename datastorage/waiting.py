"""Waiting for the database at start: a deadline, and a line that says what is awaited."""

from __future__ import annotations

import logging
import time
from datetime import timedelta

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from datastorage.database_errors import describe, is_unavailable

_PAUSE_SECONDS = 0.2
_REPEAT_SECONDS = 5.0

log = logging.getLogger("datastorage")


class Unreachable(Exception):
    """The database did not answer in time, or never will as it is asked."""


def wait_for_database(engine: Engine, deadline: timedelta) -> None:
    """Return when the database answers. Raises Unreachable."""
    place = engine.url.render_as_string(hide_password=True)
    end = time.monotonic() + deadline.total_seconds()
    told = float("-inf")
    while True:
        try:
            with engine.connect() as connection:
                connection.execute(text("SELECT 1"))
            return
        except SQLAlchemyError as error:
            reason = _reason(error)
            if not is_unavailable(error):
                raise Unreachable(f"the database {place} refuses: {reason}") from error
        left = end - time.monotonic()
        if left <= 0:
            raise Unreachable(f"the database {place} did not answer within {deadline.total_seconds():g} s: {reason}")
        if time.monotonic() - told >= _REPEAT_SECONDS:
            told = time.monotonic()
            fields = {"database": place, "seconds_left": round(left), "reason": reason}
            log.warning("waiting for the database", extra={"fields": fields})
        time.sleep(min(_PAUSE_SECONDS, left))


def _reason(error: SQLAlchemyError) -> str:
    """Return what the database's own library says: there are no rows yet that it could quote."""
    lines = str(getattr(error, "orig", None) or "").splitlines()
    return lines[0] if lines else describe(error)
