"""Chains as values: what is hashed, and that no change of a chain goes without a fault."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from models.audit_chain import Head, content_hash, content_text, extended
from models.audit_request import AuditRecord, read_event
from models.audit_values import canonical_json
from models.audit_verify import ChainWalk, Fault, Placed, compare_end

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def record(**changes: object) -> AuditRecord:
    document = {
        "event_id": str(UUID(int=1)),
        "version": "1.0",
        "event_type": "workflow.started",
        "event_timestamp": "2026-03-01T11:59:00.000001Z",
        "event_category": "workflow",
        "event_action": "started",
        "event_outcome": "success",
        "correlation_id": "rr-1",
        "event_data": {},
        **changes,
    }
    return read_event(document, now=NOW, new_id=lambda: UUID(int=0))


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=3), st.none() | st.text(min_size=1, max_size=5))
def test_what_is_hashed_is_canonical_json_of_the_whole_event(data: dict[str, object], namespace: str | None) -> None:
    try:
        event = record(event_data=data, namespace=namespace, duration_ms=3)
    except ValueError:
        return  # what the API refuses is not stored
    columns = {name: getattr(event, name) for name in AuditRecord.__slots__}
    text = content_text(columns)
    assert canonical_json(json.loads(text)) == text
    assert json.loads(text)["event_data"] == json.loads(event.event_data)
    assert json.loads(text).get("namespace") == namespace
    assert content_hash(text) == event.content_hash


def chain(length: int) -> list[Placed]:
    head, placed = Head(), []
    for number in range(1, length + 1):
        content, at = content_hash(f"event {number}"), NOW + timedelta(microseconds=number % 3)
        head = extended(head, content, at)
        placed.append(Placed("rr-1", f"id-{number}", head, content, at, number))
    return placed


def faults(events: list[Placed], end: Head) -> list[Fault]:
    found: list[Fault] = []
    walk = ChainWalk(lambda name, at: found.extend(compare_end(name, at, end)))
    for event in sorted(events, key=lambda event: event.place.position):
        found.extend(walk.follow(event))
    walk.finish()
    return found if events else list(compare_end("rr-1", Head(), end))


@given(st.integers(0, 8))
def test_a_chain_that_nobody_touched_has_no_fault(length: int) -> None:
    events = chain(length)
    assert faults(events, events[-1].place if events else Head()) == []


@given(st.data())
def test_no_change_goes_without_a_fault_at_its_place(data: st.DataObject) -> None:
    events = chain(data.draw(st.integers(2, 8)))
    end = events[-1].place
    at = data.draw(st.integers(0, len(events) - 1))
    other = data.draw(st.integers(0, len(events) - 1).filter(lambda place: place != at))
    first, second = sorted((at, other))
    match data.draw(st.sampled_from(["remove", "alter", "later", "cut", "swap", "double"])):
        case "remove":
            del events[at]
            first = at
        case "alter":
            events[at] = replace(events[at], content=content_hash("another"))
            first = at
        case "later":
            events[at] = replace(events[at], recorded_at=NOW + timedelta(seconds=1))
            first = at
        case "cut":
            del events[at:]
            first = at
        case "swap":
            a, b = events[first], events[second]
            events[first] = replace(b, place=Head(a.place.position, b.place.hash))
            events[second] = replace(a, place=Head(b.place.position, a.place.hash))
        case "double":
            events.append(replace(events[at], event_id="again"))
            first = at
    found = faults(events, end)
    assert found
    assert min(fault.position for fault in found) == first + 1


_TEXT = st.text(max_size=20)


@given(
    texts=st.dictionaries(st.sampled_from(["actor_id", "correlation_id", "event_type", "namespace", "version"]), _TEXT),
    data=st.dictionaries(_TEXT, _TEXT | st.integers() | st.none(), max_size=4),
    duration=st.none() | st.integers(0, 2**63 - 1),
    at=st.datetimes(timezones=st.just(UTC)),
)
def test_the_content_of_a_row_is_the_canonical_json_of_the_event(
    texts: dict[str, str], data: dict[str, object], duration: int | None, at: datetime
) -> None:
    """It is written member by member: what the encoder makes of the whole object is the same text."""
    event = {"version": "1.0", "actor_type": "service", **texts, "event_timestamp": at.isoformat()[:-6] + "Z"}
    row = {**event, "event_timestamp": at, "event_data": canonical_json(data), "duration_ms": duration}
    told = {**event, "event_data": data} | ({} if duration is None else {"duration_ms": duration})
    assert content_text(row) == canonical_json(told)
