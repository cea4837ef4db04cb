"""Reading the query of `GET /events`: parameter text in, a checked query or the list of everything wrong out."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from models.audit_fields import CATEGORIES, LARGEST_INTEGER, OUTCOMES
from models.audit_request import FieldProblem, InvalidEvent
from models.audit_values import check_characters, format_microseconds, parse_rfc3339

DEFAULT_LIMIT = 50
LARGEST_LIMIT = 1000
# Equality filters, and what each may be.
FILTERS: dict[str, tuple[str, ...]] = {
    "event_type": (),
    "event_category": CATEGORIES,
    "event_outcome": OUTCOMES,
    "severity": (),
    "correlation_id": (),
}
AGO = "[0-9]{1,9}[sm]|[0-9]{1,6}h|[0-9]{1,5}d"  # what lies in the years that there are
_AGO = re.compile(AGO)
ORDERS = ("newest", "oldest")
_AGO_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# A plus sign that was not percent-encoded arrives as a space.
_LOST_PLUS = re.compile(r" ([0-9]{2}:[0-9]{2})$")
_FORMS = "must be an RFC 3339 date-time, YYYY-MM-DD, or how long ago, such as 24h or 7d"


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last event of a page; the next begins behind it, whatever was stored meanwhile."""

    instant: datetime
    sequence: int

    def __str__(self) -> str:
        text = f"{format_microseconds(self.instant)} {self.sequence}"
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for. `since` and `until` are both inclusive; `cursor` is where a page before ended."""

    filters: tuple[tuple[str, str], ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    limit: int = DEFAULT_LIMIT
    offset: int = 0
    cursor: Cursor | None = None
    order: str = ORDERS[0]  # which come first


def read_query(parameters: Iterable[tuple[str, str]], *, now: datetime) -> Query:
    """Check the parameters; unknown ones are ignored. Raises InvalidEvent naming every bad one."""
    readers: dict[str, Callable[[str], Any]] = {name: _filter(allowed) for name, allowed in FILTERS.items()}
    readers |= {"since": lambda text: _instant(text, now), "until": lambda text: _instant(text, now)}
    readers |= {"limit": _whole(1, LARGEST_LIMIT), "offset": _whole(0, LARGEST_INTEGER)}
    readers |= {"cursor": _cursor, "order": _filter(ORDERS)}
    values: dict[str, Any] = {}
    problems = []
    for name, text in parameters:
        if name not in readers:
            continue
        try:
            if name in values:
                raise ValueError("must be given once")
            values[name] = None
            values[name] = readers[name](text)
        except ValueError as error:
            problems.append(FieldProblem(name, str(error)))
    if values.get("offset") and values.get("cursor"):
        problems.append(FieldProblem("cursor", "must not be given together with offset"))
    if problems:
        raise InvalidEvent(tuple(problems))
    filters = tuple((name, values.pop(name)) for name in FILTERS if name in values)
    return Query(filters, **values)


def read_span(parameters: Iterable[tuple[str, str]], *, now: datetime) -> tuple[datetime | None, datetime | None]:
    """Check `since` and `until` alone; other parameters are ignored. Raises InvalidEvent naming every bad one."""
    span = [(name, text) for name, text in parameters if name in ("since", "until")]
    query = read_query(span, now=now)
    return query.since, query.until


def _filter(allowed: tuple[str, ...]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not text:
            raise ValueError("must not be empty")
        if allowed and text not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return check_characters(text)

    return read


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,19}", text) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    return read


def _cursor(text: str) -> Cursor:
    try:
        instant, _, sequence = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().partition(" ")
        return Cursor(parse_rfc3339(instant), _whole(0, LARGEST_INTEGER)(sequence))
    except ValueError:
        raise ValueError("must be the next_cursor of an answer") from None


def _instant(text: str, now: datetime) -> datetime:
    try:
        if _AGO.fullmatch(text):
            return now - timedelta(**{_AGO_UNITS[text[-1]]: int(text[:-1])})
        if _DAY.fullmatch(text):
            return datetime.fromisoformat(text).replace(tzinfo=UTC)
        return parse_rfc3339(_LOST_PLUS.sub(r"+\1", text))
    except (ValueError, OverflowError):
        raise ValueError(_FORMS) from None
