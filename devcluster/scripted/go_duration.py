"""Read and write durations as Go prints them ("50ms", "1m30s", "1h0m0s")."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

_UNITS: Final = {
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
    "us": timedelta(microseconds=1),
}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(h|ms|us|m|s)")


def parse(text: str) -> timedelta:
    """Read a Go duration; "0" needs no unit.

    Raises:
        ValueError: not a duration.
    """
    if text == "0":
        return timedelta(0)
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is no duration such as 50ms or 1m30s")
    return sum((float(number) * _UNITS[unit] for number, unit in parts), timedelta(0))


def text(duration: timedelta) -> str:
    """Write a duration as Go's ``Duration.String`` does."""
    if duration < timedelta(seconds=1):
        milliseconds = duration / timedelta(milliseconds=1)
        return f"{milliseconds:g}ms" if milliseconds else "0s"
    minutes, seconds = divmod(duration.total_seconds(), 60)
    hours, minutes = divmod(int(minutes), 60)
    leading = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{leading}{seconds:g}s"
