"""Convert between aware UTC datetimes here and whole milliseconds or microseconds since 1970 at Redis."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_ms(instant: datetime) -> int:
    """Return milliseconds, rounded up: a wake must never come before its instant."""
    return -(-(instant - _EPOCH) // timedelta(milliseconds=1))


def from_ms(milliseconds: int) -> datetime:
    """Return the instant of so many milliseconds."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def from_us(microseconds: int) -> datetime:
    """Return the instant of so many microseconds."""
    return _EPOCH + microseconds * _MICROSECOND


def span_ms(span: timedelta) -> int:
    """Return a length of time in milliseconds, rounded up."""
    return -(-span // timedelta(milliseconds=1))
