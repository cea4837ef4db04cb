"""Finding: each filter, the order, the pages, and pages while others insert."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import Engine
from sqlalchemy import event as sqlalchemy_event

from datastorage.query import Query
from datastorage.repository import Repository
from tests.contract.datastorage.conftest import Event


@pytest.fixture
def stored(client: httpx.Client, event: Event) -> httpx.Client:
    """Store five events; 3 and 4 have the same instant."""
    batch = [
        event(1, event_timestamp="2026-02-25T00:00:00Z", severity="low"),
        event(2, event_timestamp="2026-02-28T12:00:00Z", event_type="workflow.failed", event_outcome="failure"),
        event(3, event_timestamp="2026-03-01T00:00:00Z", event_category="gateway"),
        event(4, event_timestamp="2026-03-01T00:00:00Z", correlation_id="rr-2"),
        event(5, event_timestamp="2026-03-01T11:00:00.000001Z"),
    ]
    assert client.post("/events/batch", json=batch).status_code == 201
    return client


def found(client: httpx.Client, **parameters: Any) -> list[int]:
    """Return the numbers of the events found, in order."""
    response = client.get("/events", params=parameters)
    assert response.status_code == 200, response.text
    return [int(row["event_id"][-4:], 16) for row in response.json()["data"]]


@pytest.mark.parametrize(
    ("parameters", "numbers"),
    [
        ({}, [5, 4, 3, 2, 1]),
        ({"event_type": "workflow.failed"}, [2]),
        ({"event_type": "workflow"}, []),
        ({"event_category": "gateway"}, [3]),
        ({"event_outcome": "failure"}, [2]),
        ({"severity": "low"}, [1]),
        ({"correlation_id": "rr-2"}, [4]),
        ({"correlation_id": "rr-1", "severity": "info", "event_outcome": "success"}, [5, 3]),
        ({"since": "2026-03-01T00:00:00Z"}, [5, 4, 3]),
        ({"since": "2026-03-01"}, [5, 4, 3]),
        ({"since": "2026-03-01T01:00:00+01:00"}, [5, 4, 3]),
        ({"until": "2026-03-01"}, [4, 3, 2, 1]),
        ({"until": "2026-02-28T23:59:59.999999Z"}, [2, 1]),
        ({"since": "24h"}, [5, 4, 3, 2]),
        ({"since": "1h"}, [5]),
        ({"since": "7d"}, [5, 4, 3, 2, 1]),
        ({"since": "7d", "until": "2d"}, [1]),
        ({"since": "2026-03-01", "until": "2026-02-01"}, []),
        ({"limit": 2}, [5, 4]),
        ({"order": "newest"}, [5, 4, 3, 2, 1]),
        ({"order": "oldest"}, [1, 2, 3, 4, 5]),
        ({"order": "oldest", "limit": 2, "offset": 1}, [2, 3]),
        ({"limit": 2, "offset": 1}, [4, 3]),
        ({"offset": 2**63 - 1}, []),
        ({"unknown": "x"}, [5, 4, 3, 2, 1]),
    ],
)
def test_filters(stored: httpx.Client, parameters: dict[str, Any], numbers: list[int]) -> None:
    assert found(stored, **parameters) == numbers


def test_a_plus_sign_that_was_not_encoded(stored: httpx.Client) -> None:
    assert len(stored.get("/events?since=2026-03-01T01:00:00+01:00").json()["data"]) == 3


@pytest.mark.parametrize(
    ("limit", "offset", "rows", "more"),
    [(2, 0, 2, True), (2, 3, 2, False), (2, 4, 1, False), (1000, 0, 5, False), (5, 5, 0, False), (1, 9, 0, False)],
)
def test_pagination(stored: httpx.Client, limit: int, offset: int, rows: int, more: bool) -> None:
    answer = stored.get("/events", params={"limit": limit, "offset": offset}).json()
    assert len(answer["data"]) == rows
    assert answer["pagination"] == {"limit": limit, "offset": offset, "total": 5, "has_more": more}


def test_default_page(client: httpx.Client, event: Event) -> None:
    client.post("/events/batch", json=[event(n) for n in range(1, 61)])
    answer = client.get("/events").json()
    assert len(answer["data"]) == 50
    assert answer["pagination"] == {"limit": 50, "offset": 0, "total": 60, "has_more": True}


def test_equal_instants_come_in_reverse_order_of_insertion(client: httpx.Client, event: Event) -> None:
    numbers = [5, 900, 3, 77, 12]
    client.post("/events/batch", json=[event(number) for number in numbers])
    client.post("/events", json=event(1))
    assert found(client) == [1, *reversed(numbers)]


@pytest.mark.parametrize(
    ("parameters", "fields"),
    [
        ({"limit": "0"}, {"limit"}),
        ({"limit": "1001", "offset": "-1"}, {"limit", "offset"}),
        ({"limit": "1_0"}, {"limit"}),
        ({"limit": "١"}, {"limit"}),
        ({"offset": str(2**63)}, {"offset"}),
        ({"since": "yesterday", "until": "2026-02-30"}, {"since", "until"}),
        ({"since": "999999999d"}, {"since"}),
        ({"since": ""}, {"since"}),
        ({"event_category": "nothing"}, {"event_category"}),
        ({"event_outcome": ""}, {"event_outcome"}),
        ({"correlation_id": "a\x00"}, {"correlation_id"}),
        ({"severity": ["a", "b"]}, {"severity"}),
        ({"order": "random"}, {"order"}),
        ({"cursor": ""}, {"cursor"}),
        ({"cursor": "ü"}, {"cursor"}),
        ({"cursor": "MjAyNi0wMy0wMQ"}, {"cursor"}),
        ({"cursor": "MjAyNi0wMy0wMVQxMTo1OTowMFogMw", "offset": "1"}, {"cursor"}),
    ],
)
def test_names_every_bad_parameter(client: httpx.Client, parameters: dict[str, Any], fields: set[str]) -> None:
    response = client.get("/events", params=parameters)
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["type"] == "https://kubernaut.ai/problems/validation-error"
    assert {error["field"] for error in document["errors"]} == fields


def test_pages_under_inserts_skip_nothing(client: httpx.Client, event: Event) -> None:
    """What was there when the walk began is seen by offsets, and nothing twice when the walk is bounded in time."""
    client.post("/events/batch", json=[event(n) for n in range(1, 101)])
    seen: list[int] = []
    offset = 0
    while True:
        answer = client.get("/events", params={"limit": 7, "offset": offset, "until": "2026-03-01T11:59:00Z"}).json()
        seen += [int(row["event_id"][-4:], 16) for row in answer["data"]]
        assert answer["pagination"]["total"] == 100
        if not answer["pagination"]["has_more"]:
            break
        offset += 7
        client.post("/events", json=event(1000 + offset, event_timestamp="2026-03-01T11:59:30Z"))
    assert seen == list(range(100, 0, -1))


def test_pages_by_cursor_under_inserts(client: httpx.Client, event: Event) -> None:
    """Events stored meanwhile, newer or of the same instant, move nothing: each is seen once."""
    client.post("/events/batch", json=[event(n, correlation_id=f"rr-{n % 2}") for n in range(1, 101)])
    client.post("/events", json=event(101, event_timestamp="2026-03-01T11:58:59.999999Z"))
    seen: list[int] = []
    parameters: dict[str, Any] = {"limit": 7}
    while True:
        answer = client.get("/events", params=parameters).json()
        seen += [int(row["event_id"][-4:], 16) for row in answer["data"]]
        assert answer["pagination"]["has_more"] is (answer["next_cursor"] is not None)
        if answer["next_cursor"] is None:
            break
        parameters["cursor"] = answer["next_cursor"]
        client.post("/events", json=event(1000 + len(seen)))
        client.post("/events", json=event(2000 + len(seen), event_timestamp="2026-03-01T11:59:30Z"))
    assert seen == [*range(100, 0, -1), 101]
    found = client.get(
        "/events", params={"correlation_id": "rr-0", "limit": 50, "until": "2026-03-01T11:59:00Z"}
    ).json()
    assert found["next_cursor"] is None


def test_total_and_page_are_of_one_snapshot(client: httpx.Client, engine: Engine, event: Event) -> None:
    """Others insert between the count and the page: neither sees it."""
    client.post("/events/batch", json=[event(1), event(2)])
    inserts: list[int] = []

    def insert_after_count(_c: object, _cursor: object, statement: str, *_: object) -> None:
        if "count(" in statement and not inserts:
            inserts.append(client.post("/events", json=event(3)).status_code)

    sqlalchemy_event.listen(engine, "after_cursor_execute", insert_after_count)
    try:
        page = Repository(engine).find(Query())
    finally:
        sqlalchemy_event.remove(engine, "after_cursor_execute", insert_after_count)
    assert inserts == [201]
    assert (page.total, len(page.rows)) == (2, 2)
    assert found(client) == [3, 2, 1]


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_pages_by_cursor_follow_the_order(client: httpx.Client, event: Event, order: str) -> None:
    """Instants that several events have in common fall on the ends of pages."""
    instants = [f"2026-03-01T10:00:{number // 3:02}Z" for number in range(20)]
    client.post("/events/batch", json=[event(n + 1, event_timestamp=at) for n, at in enumerate(instants)])
    seen: list[int] = []
    parameters = {"limit": "4", "order": order}
    while True:
        page = client.get("/events", params=parameters).json()
        seen += [int(row["event_id"][-4:], 16) for row in page["data"]]
        if page["next_cursor"] is None:
            break
        parameters["cursor"] = page["next_cursor"]
    expected = list(range(1, 21))
    assert seen == (expected if order == "oldest" else expected[::-1])


def test_pages_of_the_oldest_first_under_inserts(client: httpx.Client, event: Event) -> None:
    """What comes meanwhile moves nothing: it is seen where it lies behind, once, and else not at all."""
    client.post("/events/batch", json=[event(n) for n in range(1, 11)]).raise_for_status()
    seen: list[int] = []
    parameters = {"limit": "4", "order": "oldest"}
    while True:
        page = client.get("/events", params=parameters).json()
        seen += [int(row["event_id"][-4:], 16) for row in page["data"]]
        if page["next_cursor"] is None:
            break
        parameters["cursor"] = page["next_cursor"]
        if len(seen) == 4:
            before = event(100, event_timestamp="2026-03-01T11:58:00Z")
            behind = event(101, event_timestamp="2026-03-01T11:59:30Z")
            client.post("/events/batch", json=[before, event(102), behind]).raise_for_status()
    assert seen == [*range(1, 11), 102, 101]
