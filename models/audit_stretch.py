"""Stretches of chains that retention removed, and how a chain goes on behind them.

A stretch names its first and last event, the hash before the first and that of the last: the chain goes on behind it
from a hash that was signed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from models.audit_chain import Head


@dataclass(frozen=True, slots=True)
class Stretch:
    """Events of one chain, one after the other, that were removed; `before` is the hash that the first followed."""

    correlation_id: str
    first: int
    last: int
    before: bytes
    hash: bytes

    def document(self) -> list[Any]:
        """Return it as JSON."""
        return [self.correlation_id, self.first, self.last, self.before.hex(), self.hash.hex()]


def read_stretch(document: Any) -> Stretch:
    """Read what `Stretch.document` wrote. Raises ValueError, TypeError."""
    name, first, last, before, value = document
    return Stretch(str(name), int(first), int(last), bytes.fromhex(before), bytes.fromhex(value))


Find = Callable[[str, int], Stretch | None]
"""Returns the stretch of a chain that begins at a position."""


def nothing_removed(_correlation_id: str, _first: int) -> None:
    """Find no stretch."""
    return


def find_among(stretches: Iterable[Stretch]) -> Find:
    """Return a look-up among these stretches."""
    there = {(stretch.correlation_id, stretch.first): stretch for stretch in stretches}
    return lambda correlation_id, first: there.get((correlation_id, first))


def stretches_behind(correlation_id: str, at: Head, find: Find) -> Iterator[Stretch]:
    """Yield what was removed right behind a place, one stretch after the other."""
    position = at.position
    while (gone := find(correlation_id, position + 1)) is not None and gone.last > position:
        yield gone
        position = gone.last
