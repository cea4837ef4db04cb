"""Holds compared with what the chains tell of them, with values alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from models.audit_chain import Head
from models.audit_held import HoldWalk, Terms
from models.audit_hold import EVERYTHING
from models.audit_values import format_microseconds
from models.audit_verify import Placed

AT = datetime(2026, 3, 1, tzinfo=UTC)
TERMS = Terms("matter 12", "legal", None, format_microseconds(AT))
OTHER = Terms("matter 13", "legal", None, format_microseconds(AT))
Step = tuple[str, int, str]


def tell(
    steps: list[Step],
    standing: Mapping[str, Terms],
    *,
    removed_behind: tuple[str, int] = ("", 0),
    doubted: tuple[int, ...] = (),
    everything: bool = False,
) -> set[tuple[str, int]]:
    """Walk over steps of (chain, position, set|lifted|other) and return where faults are."""
    walk = HoldWalk(standing.get, lambda chain, position: (chain, position) == removed_behind)
    faults = []
    for chain, position, kind in steps:
        event = Placed(chain, f"id-{position}", Head(position), b"", AT)
        data: dict[str, Any] = {"reason": "matter 12", "everything": everything}
        name = f"audit.hold_{kind}" if kind != "other" else "workflow.started"
        row = {"event_type": name, "event_data": data, "actor_id": "legal", "event_timestamp": AT}
        faults += list(walk.follow(event, row, doubted=position in doubted))
    faults += list(walk.finish())
    assert list(walk.finish()) == []
    return {(fault.correlation_id, fault.position) for fault in faults}


@pytest.mark.parametrize(
    ("steps", "standing", "expected"),
    [
        ([], {}, set()),
        ([("a", 1, "other")], {}, set()),
        ([("a", 1, "set")], {"a": TERMS}, set()),
        ([("a", 1, "set"), ("a", 2, "other")], {}, {("a", 1)}),
        ([("a", 1, "set"), ("b", 1, "set")], {"b": TERMS}, {("a", 1)}),
        ([("a", 1, "set")], {"a": OTHER}, {("a", 1)}),
        ([("a", 1, "set"), ("a", 2, "lifted")], {}, set()),
        ([("a", 1, "set"), ("a", 2, "lifted")], {"a": TERMS}, {("a", 2)}),
        ([("a", 5, "lifted")], {}, set()),
        ([("a", 1, "set"), ("a", 2, "lifted"), ("a", 3, "set")], {}, {("a", 3)}),
        ([("audit-hold", 1, "set")], {"audit-hold": TERMS}, set()),
        # Nothing tells of a hold on everything, in the chain that would.
        ([("audit-hold", 1, "set")], {"audit-hold": TERMS, EVERYTHING: TERMS}, {("audit-hold", 0)}),
    ],
)
def test_what_was_set_and_not_lifted_stands_and_nothing_else(
    steps: list[Step], standing: Mapping[str, Terms], expected: set[tuple[str, int]]
) -> None:
    assert tell(steps, standing) == expected


def test_everything_is_told_in_one_chain_alone() -> None:
    assert tell([("audit-hold", 1, "set")], {EVERYTHING: TERMS}, everything=True) == set()
    assert tell([("audit-hold", 1, "set")], {"audit-hold": TERMS}, everything=True) == {
        ("audit-hold", 0),
        ("audit-hold", 1),
    }
    assert tell([("a", 1, "set")], {"a": TERMS}, everything=True) == set(), "said elsewhere it is on that chain"


def test_what_retention_removed_behind_a_hold_told_that_it_was_lifted() -> None:
    steps = [("a", 2, "set")]
    assert tell(steps, {}) == {("a", 2)}
    assert tell(steps, {}, removed_behind=("a", 2)) == set()
    assert tell(steps, {"a": OTHER}, removed_behind=("a", 2)) == {("a", 2)}


def test_an_event_that_is_not_as_it_was_written_is_not_told_again() -> None:
    assert tell([("a", 1, "set")], {}, doubted=(1,)) == set()
    assert tell([("a", 1, "set"), ("a", 2, "lifted"), ("a", 3, "set")], {}, doubted=(1, 2)) == {("a", 3)}


@pytest.mark.parametrize("data", ["", "[]", "{", None, 3, '{"reason":3}'])
def test_data_of_any_form_is_a_fault_and_no_error(data: Any) -> None:
    walk = HoldWalk({"a": TERMS}.get, lambda _chain, _position: False)
    event = Placed("a", "id", Head(1), b"", AT)
    row = {"event_type": "audit.hold_set", "event_data": data, "actor_id": "legal", "event_timestamp": AT}
    assert list(walk.follow(event, row)) == []
    assert [fault.position for fault in walk.finish()] == [1]
