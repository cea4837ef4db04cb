"""The freeze: one object that lets nothing new start anywhere, and how it reads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Freeze:
    """Why nothing new may start, by whom and since when. `uid` is the object's: another freeze is another object."""

    reason: str
    by: str
    since: datetime
    uid: str = ""
