"""Instants and rounding: aware UTC inside, RFC 3339 whole seconds at the API server.

Status instants are rounded *up*, so that a due instant in a status is never earlier than the one computed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(9000, 1, 1, tzinfo=UTC)


def parse_instant(text: str) -> datetime:
    """Read an RFC 3339 instant. Raises ValueError when it is none or has no zone."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"instant without a time zone: {text!r}")
    return instant.astimezone(UTC)


def read_instant(value: object) -> datetime | None:
    """Read an instant of an object we do not control: anything that is none is None.

    So is one at the edge of what a datetime holds, which the API server takes too: no cooldown could be added to it.
    """
    if not isinstance(value, str):
        return None
    try:
        instant = parse_instant(value)
    except (ValueError, OverflowError):
        return None
    return instant if _EARLIEST <= instant <= _LATEST else None


def format_instant(instant: datetime) -> str:
    """Write an instant as RFC 3339 in whole seconds, rounded up, UTC."""
    return ceil_second(instant).strftime("%Y-%m-%dT%H:%M:%SZ")


def ceil_second(instant: datetime) -> datetime:
    """Round an instant up to the next whole second, in UTC."""
    whole = instant.astimezone(UTC).replace(microsecond=0)
    return whole if whole == instant else whole + timedelta(seconds=1)
