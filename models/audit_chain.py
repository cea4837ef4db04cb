"""The chain that shows removal: each event of a correlation id carries a hash over its content and the hash before it.

A chain counts its events from 1, by the order in which they were stored, never by time. The hash covers the place, the
instant of storing and the event's canonical JSON, so none of them changes unseen. `content_text` is that JSON, put
together from the columns of a row: what is hashed when an event comes in can be computed again from what is stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from json.encoder import encode_basestring
from typing import Any
from uuid import UUID

from models.audit_fields import FIELDS
from models.audit_values import canonical_json, format_microseconds

GENESIS = bytes(32)
_FORM = b"kubernaut audit chain 1\n"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NAMES = sorted(field.name for field in FIELDS)
# Both halves have fields that every event has, so that neither is ever empty.
_BEFORE = _NAMES[: _NAMES.index("event_data")]
_AFTER = _NAMES[_NAMES.index("event_data") + 1 :]


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain: how many events it has and the hash of the last."""

    position: int = 0
    hash: bytes = GENESIS


def content_text(values: Mapping[str, Any]) -> str:
    """Return an event as canonical JSON: keys sorted, no spaces, absent fields left out.

    `values` are the columns of the event; `event_data` is canonical JSON already and goes in as it is.
    """
    return f'{{{_members(_BEFORE, values)},"event_data":{values["event_data"]},{_members(_AFTER, values)}}}'


def content_hash(text: str) -> bytes:
    """Return the hash of an event's canonical JSON."""
    # A text that somebody put into the database may hold what no encoding has; it must not stop a verification.
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


def extended(head: Head, content: bytes, recorded_at: datetime) -> Head:
    """Return the end of a chain with one more event; `content` is its content hash."""
    position = head.position + 1
    return Head(position, link(head.hash, position, content, recorded_at))


def link(before: bytes, position: int, content: bytes, recorded_at: datetime) -> bytes:
    """Return the hash that an event carries at its place in a chain."""
    microseconds = (recorded_at - _EPOCH) // _MICROSECOND
    numbers = b"%d\n%d\n" % (position, microseconds)
    return hashlib.sha256(_FORM + before + content + numbers).digest()


def _members(names: Iterable[str], values: Mapping[str, Any]) -> str:
    """Write the members of a canonical JSON object, without its braces."""
    # Names need no escaping and come sorted: what the encoder of whole objects does for any is not needed here.
    return ",".join([f'"{name}":{_written(value)}' for name in names if (value := values.get(name)) is not None])


def _written(value: Any) -> str:
    if type(value) is str:
        return encode_basestring(value)
    if isinstance(value, datetime):
        return f'"{format_microseconds(value)}"'
    return f'"{value}"' if isinstance(value, UUID) else canonical_json(value)
