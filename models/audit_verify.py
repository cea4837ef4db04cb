"""Following chains and checkpoints and naming each place that is not as it was written. Values in, faults out.

Events come ordered by chain and place; only one of them is looked at at a time, so a verification needs no memory.
After a fault the walk goes on from what the event itself claims: a change is told once, not for the rest of its chain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from models.audit_chain import Head, link
from models.audit_checkpoint import Checkpoint, HeadsDigest, before_the_first
from models.audit_stretch import Find, Stretch, nothing_removed, stretches_behind

Trust = Callable[[Checkpoint], str]
"""Says what is wrong with a checkpoint's signature; empty when it is good."""


class FaultKind(StrEnum):
    """What can be wrong."""

    ALTERED = "altered"
    MISSING = "missing"
    DOUBLE = "double"
    OUT_OF_ORDER = "out-of-order"
    UNCHAINED = "unchained"
    IDENTITY = "identity"
    END = "end"
    CHECKPOINT = "checkpoint"
    REMOVAL = "removal"
    HOLD = "hold"
    EXPORT = "export"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One place that is not as it was written; what does not apply is empty or 0."""

    kind: FaultKind
    detail: str
    correlation_id: str = ""
    position: int = 0
    event_id: str = ""
    checkpoint: int = 0

    def document(self) -> dict[str, Any]:
        """Return it as JSON, without what does not apply."""
        told = {name: getattr(self, name) for name in ("correlation_id", "position", "event_id", "checkpoint")}
        return {"kind": self.kind.value, "detail": self.detail} | {name: value for name, value in told.items() if value}


@dataclass(frozen=True, slots=True)
class Placed:
    """A stored event as a verification sees it; `content` is the hash of what is stored now, not what is claimed."""

    correlation_id: str
    event_id: str
    place: Head
    content: bytes
    recorded_at: datetime
    sequence: int = 0  # 0: not known


class ChainWalk:
    """One walk over chains. Each that has been passed is handed to `ended` with its end."""

    def __init__(
        self, ended: Callable[[str, Head], None] = lambda _id, _end: None, removed: Find = nothing_removed
    ) -> None:
        self._removed = removed
        self.events = 0
        self.chains = 0
        self._ended = ended
        self._chain: str | None = None
        self._at = Head()
        self._sequence = 0

    def follow(self, event: Placed) -> Iterator[Fault]:
        """Look at the next event."""
        if event.correlation_id != self._chain:
            self.finish()
            self._chain, self._at, self._sequence = event.correlation_id, Head(), 0
            self.chains += 1
        self.events += 1
        position = event.place.position
        expected = self._at.position + 1
        if position < 1:
            yield self._fault(event, FaultKind.UNCHAINED, "it was stored without a place in its chain")
            return
        if position < expected:
            yield self._fault(event, FaultKind.DOUBLE, "another event has the same place")
            return
        if position > expected:
            yield from self._cross(event)
            expected = self._at.position + 1
        if position > expected:
            yield self._gap(event, expected)
        elif link(self._at.hash, position, event.content, event.recorded_at) != event.place.hash:
            yield self._fault(event, FaultKind.ALTERED, "the event, or the hash of the one before it, was changed")
        if event.sequence and event.sequence <= self._sequence:
            yield self._fault(event, FaultKind.OUT_OF_ORDER, "it was not stored after the one before it")
        self._at, self._sequence = event.place, event.sequence

    def finish(self) -> None:
        """Say that no more events come."""
        if self._chain is not None:
            self._ended(self._chain, self._at)
        self._chain = None

    def _cross(self, event: Placed) -> Iterator[Fault]:
        """Go on behind what retention removed before an event."""
        for gone in stretches_behind(event.correlation_id, self._at, self._removed):
            if gone.last >= event.place.position:
                return
            yield from follows(gone, self._at)
            self._at = Head(gone.last, gone.hash)

    def _gap(self, event: Placed, expected: int) -> Fault:
        last = event.place.position - 1
        places = f"event {expected} is" if last == expected else f"events {expected} to {last} are"
        return Fault(
            kind=FaultKind.MISSING,
            detail=f"{places} missing before this one",
            correlation_id=event.correlation_id,
            position=expected,
            event_id=event.event_id,
        )

    @staticmethod
    def _fault(event: Placed, kind: FaultKind, detail: str) -> Fault:
        return Fault(
            kind=kind,
            detail=detail,
            correlation_id=event.correlation_id,
            position=max(event.place.position, 0),
            event_id=event.event_id,
        )


def follows(gone: Stretch, at: Head) -> Iterator[Fault]:
    """Compare what stands before a stretch now with what stood there when it was removed."""
    if gone.before != at.hash:
        detail = "what retention removed here followed another event than the one that stands before it now"
        yield Fault(kind=FaultKind.ALTERED, detail=detail, correlation_id=gone.correlation_id, position=gone.first)


def compare_end(
    correlation_id: str, found: Head, recorded: Head | None, removed: Find = nothing_removed
) -> Iterator[Fault]:
    """Compare the last event of a chain, or what was removed behind it, with the end that its writers recorded."""
    if recorded is not None and recorded.position > found.position:
        for stretch in stretches_behind(correlation_id, found, removed):
            yield from follows(stretch, found)
            found = Head(stretch.last, stretch.hash)
    if recorded is None:
        detail = "the record of its end is missing"
    elif recorded.position > found.position:
        gone = f"{found.position + 1} to {recorded.position}" if found.position + 1 < recorded.position else "last"
        detail = f"the chain was cut: it had {recorded.position} events, {gone} missing"
        yield Fault(kind=FaultKind.MISSING, detail=detail, correlation_id=correlation_id, position=found.position + 1)
        return
    elif recorded != found:
        detail = f"its recorded end, {recorded.position} events, is not that of its events, {found.position}"
    else:
        return
    yield Fault(kind=FaultKind.END, detail=detail, correlation_id=correlation_id, position=found.position)


Named = tuple[str, Head, bytes | None]
"""A chain's end that a checkpoint names: correlation id, end, and the hash of the event there now (None: no event)."""


class CheckpointWalk:
    """One walk over checkpoints by number."""

    def __init__(self, trust: Trust, *, every: bool = True) -> None:
        """Without `every` some of the checkpoints are left out, and nothing is said of gaps."""
        self.last: Checkpoint | None = None
        self.count = 0
        self._trust = trust
        self._every = every

    def follow(self, checkpoint: Checkpoint, ends: Iterable[Named]) -> Iterator[Fault]:
        """Look at the next checkpoint and the ends it names; an end with an empty hash was not looked up."""
        self.count += 1
        number, before = (self.last.number, self.last.hash) if self.last else before_the_first()
        if self._every and checkpoint.number != number + 1:
            yield _checkpoint_fault(number + 1, f"checkpoints {number + 1} to {checkpoint.number - 1} are missing")
        elif self._every and checkpoint.previous != before:
            yield _checkpoint_fault(checkpoint.number, "it does not follow the checkpoint before it: one was replaced")
        if wrong := self._trust(checkpoint):
            yield _checkpoint_fault(checkpoint.number, wrong)
        digest = HeadsDigest()
        for correlation_id, end, there in ends:
            digest.add(correlation_id, end)
            if there != end.hash:
                yield _broken_end(checkpoint, correlation_id, end, there)
        if (digest.count, digest.value()) != (checkpoint.changed, checkpoint.heads):
            yield _checkpoint_fault(
                checkpoint.number, "the chains' ends stored with it are not the ones it was signed for"
            )
        self.last = checkpoint


def _broken_end(checkpoint: Checkpoint, correlation_id: str, end: Head, there: bytes | None) -> Fault:
    number = checkpoint.number
    if there is None:
        kind, detail = FaultKind.MISSING, f"checkpoint {number} saw {end.position} events, the last of them is missing"
    else:
        kind, detail = FaultKind.ALTERED, f"the chain up to here was written anew after checkpoint {number} saw it"
    return Fault(kind=kind, detail=detail, correlation_id=correlation_id, position=end.position, checkpoint=number)


def _checkpoint_fault(number: int, detail: str) -> Fault:
    return Fault(kind=FaultKind.CHECKPOINT, detail=detail, checkpoint=number)
