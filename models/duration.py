"""Duration text as Kubernetes and Go write it, to and from `timedelta`.

Reading takes everything Go's `time.ParseDuration` takes (`1h30m`, `90s`, `1.5h`, `250ms`, `-5m`, `0`); what is finer
than a microsecond is cut off. Writing gives whole seconds the way Go prints them (`1m30s`, `5m0s`, `0s`).
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from fractions import Fraction

# Nanoseconds, as exact integers: 0.1s must not become 99.999ms.
_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # U+00B5, the micro sign
    "μs": 1_000,  # U+03BC, the Greek letter: Go takes both
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60 * 1_000_000_000,
    "h": 3600 * 1_000_000_000,
}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_LONGEST_NS = 2**63 - 1  # Go's duration is an int64 of nanoseconds, about 292 years
_LONGEST_TEXT = 200  # characters; exact arithmetic on a megabyte of digits would hold up everybody else


def parse_duration(text: str) -> timedelta:
    """Read duration text. Raises ValueError with one line that says what is expected."""
    if len(text) > _LONGEST_TEXT:
        raise ValueError(f"not a duration: {_cut(text)!r}; more than {_LONGEST_TEXT} characters")
    sign = -1 if text.startswith("-") else 1
    body = text[1:] if text[:1] in ("-", "+") else text
    if body == "0":
        return timedelta(0)
    nanoseconds = Fraction(0)
    end = 0
    for part in _PART.finditer(body):
        if part.start() != end:
            break
        nanoseconds += _number(part[1]) * _UNITS[part[2]]
        end = part.end()
    if not body or end != len(body):
        raise ValueError(f"not a duration: {_cut(text)!r}; expected text such as 90s, 5m or 1h30m")
    if nanoseconds > _LONGEST_NS:
        raise ValueError(f"duration too long: {_cut(text)!r}; at most about 292 years")
    return timedelta(microseconds=sign * int(nanoseconds // 1000))


def ceil_seconds(duration: timedelta) -> timedelta:
    """Round a duration up to whole seconds."""
    return -(-duration // timedelta(seconds=1)) * timedelta(seconds=1)


def format_duration(duration: timedelta) -> str:
    """Write whole seconds, the rest cut off, as Go prints them: `1h0m5s`, `1m30s`, `0s`."""
    total = abs(duration) // timedelta(seconds=1)
    minutes, seconds = divmod(total, 60)
    hours, minutes = divmod(minutes, 60)
    sign = "-" if duration < timedelta(0) and total else ""
    if hours:
        return f"{sign}{hours}h{minutes}m{seconds}s"
    if minutes:
        return f"{sign}{minutes}m{seconds}s"
    return f"{sign}{seconds}s"


def format_span(begin: datetime, end: datetime) -> str:
    """Write the time between two instants; none when the clocks that said them disagree."""
    return format_duration(max(end - begin, timedelta()))


def _number(text: str) -> Fraction:
    """Read a decimal exactly; Fraction itself refuses `1.`, Go does not."""
    return Fraction(text.rstrip(".") if text.endswith(".") else text)


def _cut(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
