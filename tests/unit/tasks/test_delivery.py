"""Delivery: one bad event keeps no other back, order is kept, and what cannot be answered now stays where it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.audit_fields import BODY_BYTES
from models.errors import Transient
from models.keys import Key
from tasks.adapters.datastorage import Refused
from tasks.delivery import deliver
from tasks.redis_scripts.outbox import Item


def item(number: int) -> Item:
    return Item(f"e{number}", Key("ns", f"x{number}"), f"u{number}", str(number).encode())


@dataclass
class Shelf:
    """A store and a buffer in one: takes whole batches or none."""

    refuses: Callable[[int], bool] = lambda _: False
    answers: int = 10_000
    limit: int = 500
    stored: list[int] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)

    def store(self, bodies: Sequence[bytes]) -> None:
        self.answers -= 1
        if self.answers < 0:
            raise Transient("away")
        numbers = [int(body) for body in bodies]
        if len(numbers) > self.limit or any(self.refuses(number) for number in numbers):
            raise Refused("400 or 413", {"status": 400})
        self.stored += numbers

    def acknowledge(self, items: Sequence[Item]) -> Sequence[Key]:
        self.acknowledged += [one.event_id for one in items]
        return [one.key for one in items]

    def quarantine(self, item: Item, problem: str, document: Mapping[str, Any]) -> None:
        assert problem
        assert document
        self.quarantined.append(item.event_id)


@given(st.integers(1, 60), st.sets(st.integers(0, 59)), st.integers(1, 60))
def test_every_good_event_is_stored_once_in_order_and_every_bad_one_set_aside(
    count: int, bad: set[int], limit: int
) -> None:
    shelf = Shelf(refuses=bad.__contains__, limit=limit)
    told = list(deliver([item(number) for number in range(count)], shelf, shelf))
    good = [number for number in range(count) if number not in bad]
    assert shelf.stored == good
    assert shelf.acknowledged == [f"e{number}" for number in good]
    assert shelf.quarantined == [f"e{number}" for number in range(count) if number in bad]
    assert sum(part.stored for part in told) == sum(len(part.keys) for part in told) == len(good)
    assert sum(part.refused for part in told) == len(shelf.quarantined)


def test_no_answer_leaves_the_rest_untouched() -> None:
    shelf = Shelf(refuses=lambda number: number == 3, answers=3)
    parts = deliver([item(number) for number in range(8)], shelf, shelf)
    assert next(parts)[:2] == (2, 0)
    with pytest.raises(Transient):
        next(parts)
    assert shelf.stored == [0, 1]
    assert shelf.acknowledged == ["e0", "e1"]
    assert shelf.quarantined == []


def test_no_request_is_larger_than_datastorage_reads() -> None:
    sizes = []

    class Scales(Shelf):
        def store(self, bodies: Sequence[bytes]) -> None:
            sizes.append(len(b"[" + b",".join(bodies) + b"]"))

    shelf, large = Scales(), b"x" * (BODY_BYTES // 5)
    list(deliver([Item(f"e{n}", Key("ns", "x"), "u", large) for n in range(12)], shelf, shelf))
    assert max(sizes) <= BODY_BYTES
    assert shelf.acknowledged == [f"e{n}" for n in range(12)]
