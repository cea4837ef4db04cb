"""The hold on a target as a pass sees it: who owns it, under which fence, and where we stand in its line.

Values only; the records are in Redis and change by the scripts of tasks/redis_scripts. An owner is an execution,
not a worker, so a hold has no expiry.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from models.keys import Key

LARGEST_FENCE = 2**53 - 1
"""Redis counts in doubles: beyond this a fence would no longer grow. As microseconds it is the year 2255."""


def read_fence(value: object) -> int | None:
    """Read a fence from an object we do not control; what could not be one is None."""
    return value if isinstance(value, int) and 0 <= value <= LARGEST_FENCE else None


@dataclass(frozen=True, slots=True)
class Owner:
    """An execution as owner of a hold or as one in line; lines are ordered by (`created`, `uid`)."""

    uid: str
    key: Key
    created: datetime


@dataclass(frozen=True, slots=True)
class GateClosed:
    """Redis came back empty and the holds are not restored yet: nothing can be taken or released now."""


@dataclass(frozen=True, slots=True)
class Free:
    """Nobody holds the target and nobody is in line before us."""


@dataclass(frozen=True, slots=True)
class Mine:
    """We hold the target. `fence` grows with every acquisition of any target, across losses of Redis too.

    `suspect` says that something of an earlier run may be left under this target's name, so that it has to be looked
    for before a run is created. Only the pass that takes a target which its last holder released cleanly knows better:
    a later pass of the same holder cannot know what an earlier one had begun.
    """

    fence: int
    since: datetime
    suspect: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Busy:
    """Another execution holds the target, or is first in line for it while it is free.

    `since` is when the holder took it, or when the first in line was created. `position` is our place in the line
    from 1 (the holder is not in it), 0 when we are not in line.
    """

    holder: Key
    holder_uid: str
    since: datetime
    position: int


HoldView = GateClosed | Free | Mine | Busy


@dataclass(frozen=True, slots=True)
class Known:
    """What Redis knows of a key before its execution has been read: which target it holds or waits for, as whom."""

    target: str
    uid: str
    view: HoldView


@dataclass(frozen=True, slots=True)
class Held:
    """One held target and its owner, for listings and the resync. `waiting` is the length of its line."""

    target: str
    key: Key
    uid: str
    fence: int
    since: datetime
    waiting: int
