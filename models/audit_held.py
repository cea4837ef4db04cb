"""Comparing the legal holds that stand in their table with what the chains tell of them. Values in, faults out.

A hold and the event that tells of it come and go in one transaction, so whoever sees both in one snapshot sees them
agree. Retention removes nothing of a chain that is on hold: the event that set a hold is there as long as the hold is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from models.audit_hold import EVERYTHING
from models.audit_upkeep import HOLDS_CHAIN, UpkeepType
from models.audit_values import format_microseconds
from models.audit_verify import Fault, FaultKind, Placed

HOLD_TYPES = (UpkeepType.HOLD_SET.value, UpkeepType.HOLD_LIFTED.value)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a hold says, in its row or in the event that set it; `set_at` is a text of microseconds where it is one."""

    reason: Any
    set_by: Any
    requested_by: Any
    set_at: Any

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)


Find = Callable[[str], Terms | None]
"""Returns what stands in the table for a chain, or for EVERYTHING."""

Removed = Callable[[str, int], bool]
"""Says whether retention removed something of a chain behind a position."""


@dataclass(frozen=True, slots=True)
class _Act:
    """The last that a chain tells of one hold; no terms: it was lifted."""

    event: Placed
    terms: Terms | None
    doubted: bool


class HoldWalk:
    """One walk over the events that tell of holds, ordered by chain and place; other events may come between them."""

    def __init__(self, find: Find, removed: Removed) -> None:
        self._find = find
        self._removed = removed
        self._chain: str | None = None
        self._acts: dict[str, _Act] = {}

    def follow(self, event: Placed, told: Mapping[str, Any], *, doubted: bool = False) -> Iterator[Fault]:
        """Look at the next event; `doubted` when it is not as it was written, which has been told."""
        kind = told.get("event_type")
        if kind not in HOLD_TYPES:
            return
        if event.correlation_id != self._chain:
            yield from self.finish()
            self._chain = event.correlation_id
        data = _data(told.get("event_data"))
        everything = event.correlation_id == HOLDS_CHAIN and data.get("everything") is True
        terms = _terms(told, data) if kind == UpkeepType.HOLD_SET else None
        self._acts[EVERYTHING if everything else event.correlation_id] = _Act(event, terms, doubted)

    def finish(self) -> Iterator[Fault]:
        """Compare what the chain told with what stands; also after the last event."""
        if self._chain is None:
            return
        for held in [self._chain, EVERYTHING] if self._chain == HOLDS_CHAIN else [self._chain]:
            act = self._acts.get(held)
            there = self._find(held)
            if act is not None:
                yield from self._compare(held, act, there)
            elif there is not None:
                yield unset(held)
        self._chain = None
        self._acts.clear()

    def _compare(self, held: str, act: _Act, there: Terms | None) -> Iterator[Fault]:
        if act.doubted:
            return
        if act.terms is None:
            if there is not None:
                yield _fault(held, act.event, "stands though it was lifted here")
        elif there is None:
            # Nothing of the chain could go before the hold was lifted: what tells of that went with it.
            if not self._removed(act.event.correlation_id, act.event.place.position):
                yield _fault(held, act.event, "was set here and not lifted, and does not stand any more")
        elif there != act.terms:
            was, now = act.terms.document(), there.document()
            changed = ", ".join(name for name, value in was.items() if now[name] != value)
            yield _fault(held, act.event, f"does not stand as it was set here: {changed}")


def unset(held: str) -> Fault:
    """Tell of a hold that stands and that no event has set."""
    detail = f"{_hold(held)} stands that no event has set"
    return Fault(kind=FaultKind.HOLD, detail=detail, correlation_id=chain_of(held))


def chain_of(held: str) -> str:
    """Return the chain that tells of a hold."""
    return HOLDS_CHAIN if held == EVERYTHING else held


def instant_text(value: object) -> object:
    """Write an instant as events have it; what is none stays as it is, and fits no event."""
    return format_microseconds(value) if isinstance(value, datetime) else value


def _terms(told: Mapping[str, Any], data: Mapping[str, Any]) -> Terms:
    at = instant_text(told.get("event_timestamp"))
    return Terms(data.get("reason"), told.get("actor_id"), data.get("requested_by"), at)


def _data(value: object) -> Mapping[str, Any]:
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        found = None
    return found if isinstance(found, Mapping) else {}


def _hold(held: str) -> str:
    return "a legal hold on everything" if held == EVERYTHING else "a legal hold"


def _fault(held: str, event: Placed, what: str) -> Fault:
    return Fault(
        kind=FaultKind.HOLD,
        detail=f"{_hold(held)} {what}",
        correlation_id=event.correlation_id,
        position=event.place.position,
        event_id=event.event_id,
    )
