"""Calendar months in UTC: what the event table is divided by, and what retention removes."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

SHORTEST_DAYS = 30
_KEEP = re.compile(r"(?:([0-9]{1,5})d|([0-9]{1,3})y)?")
_TEXT = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """One month; its text is 2026-03."""

    year: int
    number: int  # 1 to 12

    @property
    def begin(self) -> datetime:
        """Its first instant."""
        return datetime(self.year, self.number, 1, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        """The first instant that is no longer in it."""
        return self.after().begin

    def after(self, months: int = 1) -> Month:
        """Return the month that comes so many later."""
        years, number = divmod(self.number - 1 + months, 12)
        return Month(self.year + years, number + 1)

    def __str__(self) -> str:
        return f"{self.year:04}-{self.number:02}"


@dataclass(frozen=True, slots=True)
class Keep:
    """How long events are kept; with neither days nor years for ever."""

    days: int = 0
    years: int = 0

    def __bool__(self) -> bool:
        return bool(self.days or self.years)

    def __str__(self) -> str:
        return f"{self.years}y" if self.years else f"{self.days}d" if self.days else ""

    def is_over(self, month: Month, now: datetime) -> bool:
        """Say whether the whole of a month is older."""
        return bool(self) and self.end_of(month) <= now

    def end_of(self, month: Month) -> datetime:
        """Return until when a month is kept, where it is not for ever."""
        # The last instant of the month counts, so that 29 February needs no care.
        return month.after(12 * self.years).end if self.years else month.end + timedelta(days=self.days)


FOR_EVER = Keep()


def read_keep(text: str) -> Keep:
    """Read how long events are kept. Raises ValueError."""
    match = _KEEP.fullmatch(text)
    if match is None:
        raise ValueError("another form")
    keep = Keep(days=int(match[1] or 0), years=int(match[2] or 0))
    if text and not (SHORTEST_DAYS <= keep.days <= 36500 or 1 <= keep.years <= 100):
        raise ValueError("out of bounds")
    return keep


def month_of(instant: datetime) -> Month:
    """Return the month of an aware instant."""
    at = instant.astimezone(UTC)
    return Month(at.year, at.month)


def read_month(text: str) -> Month:
    """Read a month's text. Raises ValueError."""
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError("must be a month such as 2026-03")
    return Month(int(match[1]), int(match[2]))


def months_ahead(there: Collection[Month], present: Month) -> int:
    """Count the months behind the present one that are there without a gap; -1 when the present one is not there."""
    count = -1
    while present.after(count + 1) in there:
        count += 1
    return count
