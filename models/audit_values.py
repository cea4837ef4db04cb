"""Reading the values of an audit event one by one, and writing canonical JSON.

A reader gets a JSON value and its field and returns what is stored; a ValueError is the message for the sender.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from models.audit_fields import (
    EVENT_DATA_BYTES,
    EVENT_DATA_DEPTH,
    FUTURE_WINDOW,
    LARGEST_INTEGER,
    Field,
    Kind,
)

_CANONICAL = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
UUID_FORM = "[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
_UUID = re.compile(UUID_FORM)
_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def canonical_json(value: object) -> str:
    """Write JSON in the one form that is hashed and stored. Raises ValueError for NaN and infinities."""
    return _CANONICAL.encode(value)


def format_microseconds(instant: datetime) -> str:
    """Write an instant as RFC 3339 in UTC, with a fraction only when it has one."""
    utc = instant if instant.tzinfo is UTC else instant.astimezone(UTC)
    return utc.isoformat()[: -len("+00:00")] + "Z"


def parse_rfc3339(text: str) -> datetime:
    """Read an RFC 3339 instant; what is finer than a microsecond is cut off. Raises ValueError."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("must be an RFC 3339 date-time such as 2026-01-31T12:00:00Z")
    day, time, fraction, zone = match.groups()
    zone = "+00:00" if zone in "Zz" else zone
    try:
        return datetime.fromisoformat(f"{day}T{time}{(fraction or '')[:7]}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be an RFC 3339 date-time that exists") from None


def check_window(instant: datetime, now: datetime, past: timedelta) -> None:
    """Refuse an instant that lies too far from now. Raises ValueError."""
    if instant < now - past:
        raise ValueError(f"must not be more than {past / timedelta(days=1):g} days in the past")
    if instant > now + FUTURE_WINDOW:
        raise ValueError("must not be more than 5 minutes in the future")


def _text(value: object, field: Field) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    if field.allowed:
        if value not in field.allowed:
            raise ValueError(f"must be one of {', '.join(field.allowed)}")
        return value
    if not field.shortest <= len(value) <= field.longest:
        least = f"{field.shortest} to" if field.shortest else "at most"
        raise ValueError(f"must have {least} {field.longest} characters")
    return value if value.isascii() and "\x00" not in value else check_characters(value)


def check_characters(text: str) -> str:
    """Refuse what a database cannot store as text: U+0000 and unpaired surrogates. Raises ValueError."""
    if "\x00" in text:
        raise ValueError("must not contain the character U+0000")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("must not contain unpaired surrogates") from None
    return text


def _uuid(value: object, _field: Field) -> UUID:
    if not isinstance(value, str) or _UUID.fullmatch(value) is None:
        raise ValueError("must be a UUID")
    return UUID(value)


def _instant(value: object, _field: Field) -> datetime:
    if not isinstance(value, str):
        raise ValueError("must be an RFC 3339 date-time")
    return parse_rfc3339(value)


def _integer(value: object, _field: Field) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # JSON Schema: 5.0 is an integer
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("must be an integer")
    if not 0 <= value <= LARGEST_INTEGER:
        raise ValueError(f"must be between 0 and {LARGEST_INTEGER}")
    return value


@dataclass(frozen=True, slots=True)
class EventData:
    """The object that was sent and its canonical JSON."""

    value: dict[str, Any]
    text: str


def _object(value: object, _field: Field) -> EventData:
    if not isinstance(value, dict):
        raise ValueError("must be a JSON object")
    if _deeper_than(value, EVENT_DATA_DEPTH):
        raise ValueError(f"must not be nested deeper than {EVENT_DATA_DEPTH}")
    try:
        text = canonical_json(value)
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError:
        raise ValueError("must not contain unpaired surrogates") from None
    except ValueError:
        raise ValueError("must not contain numbers beyond the range of a double") from None
    if size > EVENT_DATA_BYTES:
        raise ValueError(f"must not be larger than {EVENT_DATA_BYTES} bytes, has {size}")
    return EventData(value, text)


def _deeper_than(value: object, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    if levels == 0:
        return True
    children = value.values() if isinstance(value, dict) else value
    return any(_deeper_than(child, levels - 1) for child in children if isinstance(child, dict | list))


READERS: Mapping[Kind, Callable[[object, Field], Any]] = {
    Kind.TEXT: _text,
    Kind.UUID: _uuid,
    Kind.INSTANT: _instant,
    Kind.INTEGER: _integer,
    Kind.OBJECT: _object,
}
