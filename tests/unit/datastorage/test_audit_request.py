"""Reading an audit event: what is taken, what is refused and in which words, and what counts as the same content."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.audit_fields import FIELDS, Kind
from models.audit_request import AuditRecord, InvalidEvent, read_event
from models.audit_values import canonical_json, parse_rfc3339

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
FRESH = UUID("11111111-1111-4111-8111-111111111111")
# (name, least, most) of every text field without an enum.
LENGTHS = [
    ("version", 1, 10),
    ("event_type", 1, 100),
    ("event_action", 1, 50),
    ("correlation_id", 1, 255),
    ("actor_type", 0, 50),
    ("actor_id", 0, 255),
    ("resource_type", 0, 100),
    ("resource_id", 0, 255),
    ("namespace", 0, 253),
    ("cluster_name", 0, 255),
    ("severity", 0, 20),
]


def event(**changes: Any) -> dict[str, Any]:
    fields = {
        "version": "1.0",
        "event_type": "workflow.started",
        "event_timestamp": "2026-03-01T11:59:00Z",
        "event_category": "workflow",
        "event_action": "started",
        "event_outcome": "success",
        "correlation_id": "rr-1",
        "event_data": {"attempt": 1},
    }
    return fields | changes


def read(document: object) -> AuditRecord:
    return read_event(document, now=NOW, new_id=lambda: FRESH)


def problems(document: object) -> dict[str, str]:
    with pytest.raises(InvalidEvent) as caught:
        read(document)
    return {problem.field: problem.message for problem in caught.value.problems}


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


def test_fills_in_defaults() -> None:
    record = read(event())
    assert record.event_id == FRESH
    assert (record.actor_type, record.actor_id) == ("service", "workflow-service")
    assert (record.resource_type, record.resource_id, record.severity) == ("workflow", "rr-1", "info")
    assert (record.namespace, record.cluster_name, record.duration_ms, record.parent_event_id) == (None,) * 4


def test_names_every_bad_field() -> None:
    document = event(event_category="nothing", duration_ms=-1, event_id="x", version="")
    del document["event_type"]
    assert problems(document) == {
        "event_category": "must be one of gateway, notification, analysis, signalprocessing, workflow, execution, "
        "orchestration",
        "duration_ms": "must be between 0 and 9223372036854775807",
        "event_id": "must be a UUID",
        "version": "must have 1 to 10 characters",
        "event_type": "is required",
    }


@pytest.mark.parametrize("document", [None, [], "text", 1])
def test_refuses_what_is_no_object(document: object) -> None:
    assert problems(document) == {"": "must be a JSON object"}


@pytest.mark.parametrize(("name", "least", "most"), LENGTHS)
def test_lengths_count_characters(name: str, least: int, most: int) -> None:
    assert getattr(read(event(**{name: "é" * most})), name) == "é" * most
    assert name in problems(event(**{name: "é" * (most + 1)}))
    if least:
        assert name in problems(event(**{name: ""}))


@pytest.mark.parametrize("field", [field.name for field in FIELDS if field.required])
def test_null_is_absent(field: str) -> None:
    assert problems(event(**{field: None})) == {field: "is required"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event_data", []),
        ("event_data", "{}"),
        ("event_data", {"n": float("inf")}),
        ("event_data", {"s": "\ud800"}),
        ("event_data", {"\ud800": 1}),
        ("correlation_id", "a\x00b"),
        ("correlation_id", "\udc00"),
        ("correlation_id", 5),
        ("duration_ms", True),
        ("duration_ms", 1.5),
        ("duration_ms", 2**63),
        ("event_id", "{11111111-1111-4111-8111-111111111111}"),
        ("parent_event_id", 7),
        ("event_timestamp", 1772366400),
        ("event_timestamp", "2026-03-01"),
        ("event_timestamp", "2026-03-01T12:00:00"),
        ("event_timestamp", "20260301T120000Z"),
        ("event_timestamp", "2026-02-30T12:00:00Z"),
        ("event_timestamp", "0001-01-01T00:00:00+14:00"),
    ],
)
def test_refuses(field: str, value: object) -> None:
    assert list(problems(event(**{field: value}))) == [field]


@pytest.mark.parametrize(
    ("offset", "accepted"),
    [
        (timedelta(days=-7), True),
        (timedelta(days=-7, microseconds=-1), False),
        (timedelta(minutes=5), True),
        (timedelta(minutes=5, microseconds=1), False),
    ],
)
def test_window_of_timestamps(offset: timedelta, accepted: bool) -> None:
    document = event(event_timestamp=(NOW + offset).isoformat())
    if accepted:
        assert read(document).event_timestamp == NOW + offset
    else:
        assert list(problems(document)) == ["event_timestamp"]


def test_limits_of_event_data() -> None:
    assert read(event(event_data=nested(10))).event_data.count("{") == 10
    assert problems(event(event_data=nested(11))) == {"event_data": "must not be nested deeper than 10"}
    room = 256 * 1024 - len('{"s":""}')
    assert len(read(event(event_data={"s": "x" * room})).event_data) == 256 * 1024
    assert "262144" in problems(event(event_data={"s": "x" * (room + 1)}))["event_data"]
    assert "262144" in problems(event(event_data={"s": "é" * (room // 2 + 1)}))["event_data"]


def test_the_event_is_not_its_own_parent() -> None:
    assert problems(event(event_id=str(FRESH), parent_event_id=str(FRESH).upper())) == {
        "parent_event_id": "must not be the event itself"
    }


def test_same_content_in_other_clothes() -> None:
    plain = read(event(event_id=str(FRESH), event_data={"b": 1, "a": [1, 2]}))
    dressed = read(
        event(
            event_id=str(FRESH).upper(),
            event_data={"a": [1, 2], "b": 1},
            event_timestamp="2026-03-01T13:59:00.000000+02:00",
            actor_id="workflow-service",
            namespace=None,
            unknown_property={"tolerated": True},
        )
    )
    assert dressed == plain


@pytest.mark.parametrize(
    "change",
    [
        {"event_data": {"attempt": 2}},
        {"event_data": {"attempt": 1.0}},
        {"event_timestamp": "2026-03-01T11:59:00.000001Z"},
        {"severity": "warning"},
        {"namespace": ""},
        {"duration_ms": 0},
    ],
)
def test_other_content_has_another_hash(change: dict[str, Any]) -> None:
    assert read(event(**change)).content_hash != read(event()).content_hash


def test_numbers_are_kept_as_sent() -> None:
    document = json.loads('{"big": 12345678901234567890123, "small": 1e-7, "one": 1.0}')
    assert read(event(event_data=document)).event_data == '{"big":12345678901234567890123,"one":1.0,"small":1e-07}'


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=20,
    )
)
def test_canonical_json_reads_back(value: object) -> None:
    assert json.loads(canonical_json(value)) == value
    assert canonical_json(json.loads(canonical_json(value))) == canonical_json(value)


@given(st.datetimes(timezones=st.timezones(), min_value=datetime(1900, 1, 2), max_value=datetime(9999, 12, 30)))  # noqa: DTZ001
def test_rfc3339_reads_what_isoformat_writes(instant: datetime) -> None:
    # Compared in UTC: in its own zone an instant near a change of the clocks equals nothing in another (PEP 495).
    utc = instant.astimezone(UTC)
    assert parse_rfc3339(utc.isoformat()) == utc
    assert parse_rfc3339(utc.isoformat().replace("T", "t").replace("+00:00", "z")) == utc


def test_nanoseconds_are_cut() -> None:
    assert parse_rfc3339("2026-03-01T12:00:00.123456999Z") == NOW.replace(microsecond=123456)


@given(st.dictionaries(st.sampled_from([field.name for field in FIELDS]), st.none() | st.integers() | st.text()))
def test_any_object_is_read_or_refused_by_field(changes: dict[str, Any]) -> None:
    named: set[str] = set()
    try:
        read(event(**changes))
    except InvalidEvent as invalid:
        named = {problem.field for problem in invalid.problems}
    assert named <= set(changes)


def test_kinds_are_all_readable() -> None:
    assert {field.kind for field in FIELDS} == set(Kind)
