"""What became of a month when retention looked at it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from models.audit_months import Month
from models.audit_removal import Removal


class What(StrEnum):
    """What became of it; only `REFUSED` needs somebody who looks after it."""

    REMOVED = "removed"
    REMOVABLE = "would be removed"
    HELD = "held"
    REFUSED = "refused"
    LEFT = "left"  # nothing of it, or somebody else is at it
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One month. `detail` is for people, `removal` the stub of one that was removed."""

    month: Month
    what: What
    detail: str
    removal: Removal | None = None

    def __str__(self) -> str:
        return f"{self.month}: {self.what}: {self.detail}"


class Stays(Exception):
    """A month stays, and nothing that was begun for its removal may."""

    def __init__(self, what: What, detail: str) -> None:
        super().__init__(detail)
        self.what = what


def told(removal: Removal) -> str:
    """Say what a removal takes."""
    return f"{removal.events} events of {removal.chains} chains"
