"""Writing: what is stored once, what is refused, and that a batch is all or nothing."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import Engine, func, select, text

from datastorage import schema
from datastorage.bulk import claim_ids
from models.tables import audit_event_ids, audit_events
from tests.contract.datastorage.conftest import Event, Service, engine_for
from tests.postgres_plugin import PostgresServer

PROBLEMS = "https://kubernaut.ai/problems/"


def rows(engine: Engine) -> tuple[int, int]:
    """Count the events and the ids."""
    with engine.connect() as connection:
        tables = (audit_events, audit_event_ids)
        events, ids = (connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables)
        return events, ids


def problem(response: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    """Check the form of a problem document and return it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["type"] == PROBLEMS + slug
    assert document["status"] == status
    assert document["title"]
    assert document["instance"] == response.request.url.path
    return document


def test_stores_one_event(client: httpx.Client, engine: Engine, event: Event) -> None:
    response = client.post("/events", json=event(7))
    assert response.status_code == 201
    assert response.json() == {
        "event_id": str(UUID(int=7)),
        "event_timestamp": "2026-03-01T11:59:00Z",
        "message": "Audit event created successfully",
    }
    assert rows(engine) == (1, 1)


def test_makes_an_id_when_none_is_sent(client: httpx.Client, engine: Engine, event: Event) -> None:
    ids = {client.post("/events", json=event()).json()["event_id"] for _ in range(2)}
    assert len(ids) == 2
    assert rows(engine) == (2, 2)


def test_reads_back_what_was_sent(client: httpx.Client, event: Event) -> None:
    client.post("/events", json=event(1))
    sent = event(
        2,
        event_timestamp="2026-03-01T13:30:00.123456789+02:00",
        event_data={"ünï": "\u0000 ✓", "n": [1, 1.5, 12345678901234567890123, 1e2], "deep": {"a": None}},
        actor_type="user",
        actor_id="é" * 255,
        resource_type="WorkflowExecution",
        resource_id="x",
        namespace="team-a",
        cluster_name="c",
        severity="warning",
        duration_ms=2**63 - 1,
        parent_event_id=str(UUID(int=1)),
    )
    assert client.post("/events", json=sent).status_code == 201
    found = client.get("/events", params={"severity": "warning"}).json()["data"]
    stored = {"event_timestamp": "2026-03-01T11:30:00.123456Z", "recorded_at": "2026-03-01T12:00:00Z"}
    assert len(bytes.fromhex(found[0].pop("chain_hash"))) == 32
    assert found == [{**sent, **stored, "chain_position": 2}]


def test_the_same_again_is_success_and_stores_nothing(
    client: httpx.Client, service: Service, engine: Engine, event: Event
) -> None:
    assert client.post("/events", json=event(1)).status_code == 201
    again = client.post("/events", json=event(1, event_timestamp="2026-03-01T12:59:00+01:00", unknown=True))
    assert again.status_code == 200
    assert again.json()["event_id"] == str(UUID(int=1))
    assert client.post("/events/batch", json=[event(1), event(2), event(1)]).status_code == 201
    assert rows(engine) == (2, 2)
    assert service.metric("audit_events_written_total") == 2
    assert service.metric("audit_events_resent_total") == 3


def test_other_content_is_a_conflict_and_the_stored_one_stays(
    client: httpx.Client, service: Service, engine: Engine, event: Event
) -> None:
    client.post("/events", json=event(1))
    document = problem(client.post("/events", json=event(1, event_data={"attempt": 2})), 409, "event-conflict")
    assert document["event_id"] == str(UUID(int=1))
    batch = client.post("/events/batch", json=[event(2), event(3), event(1, severity="high")])
    document = problem(batch, 409, "event-conflict")
    assert document["index"] == 2
    assert "event at index 2" in document["detail"]
    assert rows(engine) == (1, 1)
    assert client.get("/events").json()["data"][0]["event_data"] == {"attempt": 1}
    assert service.metric("audit_event_conflicts_total") == 2


def test_other_content_within_one_batch(client: httpx.Client, engine: Engine, event: Event) -> None:
    document = problem(client.post("/events/batch", json=[event(1), event(1, severity="high")]), 409, "event-conflict")
    assert document["index"] == 1
    assert rows(engine) == (0, 0)


def test_batch_answers_in_input_order(client: httpx.Client, engine: Engine, event: Event) -> None:
    numbers = [9, 3, 7, 3, 1]
    response = client.post("/events/batch", json=[event(number) for number in numbers])
    assert response.status_code == 201
    assert response.json() == {
        "event_ids": [str(UUID(int=number)) for number in numbers],
        "message": "5 audit events created successfully",
    }
    assert rows(engine) == (4, 4)


def test_a_full_batch(client: httpx.Client, engine: Engine, event: Event) -> None:
    assert client.post("/events/batch", json=[event(n + 1) for n in range(500)]).status_code == 201
    assert rows(engine) == (500, 500)
    with engine.connect() as connection:
        stored = connection.execute(select(audit_events.c.event_id).order_by(audit_events.c.sequence)).scalars()
        assert [event_id.int for event_id in stored] == list(range(1, 501))


def test_a_batch_is_all_or_nothing(client: httpx.Client, engine: Engine, event: Event) -> None:
    batch = [event(1), event(2, event_type="x" * 101, duration_ms="1"), event(3), {"version": "1.0"}]
    document = problem(client.post("/events/batch", json=batch), 400, "validation-error")
    assert document["detail"].startswith("event at index 1: event_type: must have 1 to 100 characters; duration_ms:")
    assert "event at index 3: event_type: is required" in document["detail"]
    assert {(error["index"], error["field"]) for error in document["errors"]} > {(1, "event_type"), (1, "duration_ms")}
    assert rows(engine) == (0, 0)


@pytest.mark.parametrize(
    ("body", "slug", "words"),
    [
        ("[]", "validation-error", "batch cannot be empty"),
        ("{}", "validation-error", "must be a JSON array"),
        ("null", "validation-error", "must be a JSON array"),
        ("[1]", "validation-error", "event at index 0: must be a JSON object"),
        ("", "invalid-json", "not valid JSON"),
        ("[{]", "invalid-json", "line 1, column 3"),
        ("[NaN]", "invalid-json", "not valid JSON"),
        ("[" * 100_000, "invalid-json", "not valid JSON"),
        (b'["\xff"]', "invalid-json", "not valid JSON"),
        ("[" + ",".join(["{}"] * 501) + "]", "batch-size-exceeded", "500"),
    ],
)
def test_refuses_batches(client: httpx.Client, body: str | bytes, slug: str, words: str) -> None:
    assert words in problem(client.post("/events/batch", content=body), 400, slug)["detail"]


@pytest.mark.parametrize("body", ["[]", "1", '"text"', "null"])
def test_refuses_what_is_no_event(client: httpx.Client, body: str) -> None:
    assert "must be a JSON object" in problem(client.post("/events", content=body), 400, "validation-error")["detail"]


def test_names_every_bad_field(client: httpx.Client, event: Event) -> None:
    response = client.post("/events", json=event(event_category="x", event_outcome="y", correlation_id="a\x00"))
    document = problem(response, 400, "validation-error")
    assert {error["field"] for error in document["errors"]} == {"event_category", "event_outcome", "correlation_id"}
    assert all(error["field"] in document["detail"] for error in document["errors"])


@pytest.mark.parametrize("path", ["/events", "/events/batch"])
def test_a_large_body_is_refused_by_its_declared_length(service: Service, path: str) -> None:
    """The body is never sent: the answer comes all the same."""
    host, _, port = service.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        head = f"POST /api/v1/audit{path} HTTP/1.1\r\nHost: x\r\nContent-Length: {10 * 1024 * 1024 + 1}\r\n\r\n"
        connection.sendall(head.encode())
        answer = ""
        while "\r\n\r\n{" not in answer and (received := connection.recv(65536)):
            answer += received.decode()
    assert answer.startswith("HTTP/1.1 413")
    assert f"{PROBLEMS}request-too-large" in answer


@pytest.mark.parametrize("chunked", [True, False])
def test_a_large_body_is_refused_however_it_comes(client: httpx.Client, engine: Engine, chunked: bool) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(12):
            yield b" " * 1024 * 1024

    body: Any = chunks() if chunked else b"".join(chunks())
    problem(client.post("/events/batch", content=body), 413, "request-too-large")
    assert client.get("/events").status_code == 200
    assert rows(engine) == (0, 0)


def test_a_body_of_just_the_limit_is_read(client: httpx.Client, event: Event) -> None:
    body = json.dumps([event(1)]).encode()
    assert client.post("/events/batch", content=body + b" " * (10 * 1024 * 1024 - len(body))).status_code == 201


def test_parents(client: httpx.Client, engine: Engine, event: Event) -> None:
    orphan = event(2, parent_event_id=str(UUID(int=1)))
    document = problem(client.post("/events", json=orphan), 400, "validation-error")
    assert document["errors"] == [{"field": "parent_event_id", "message": "does not exist"}]
    late = problem(client.post("/events/batch", json=[event(3), orphan, event(1)]), 400, "validation-error")
    assert late["detail"] == "event at index 1: parent_event_id: does not exist"
    assert rows(engine) == (0, 0)
    assert client.post("/events/batch", json=[event(1), orphan]).status_code == 201
    assert client.post("/events", json=event(3, parent_event_id=str(UUID(int=2)))).status_code == 201


def test_a_failing_look_up_of_the_parent_is_not_the_callers_fault(empty_engine: Engine, event: Event) -> None:
    with Service(empty_engine) as service:
        orphan = event(2, parent_event_id=str(UUID(int=1)))
        answer = httpx.post(f"{service.url}/api/v1/audit/events", json=orphan)
    problem(answer, 500, "database-error")
    assert service.metric("audit_batches_failed_total") == 1


def test_the_same_event_from_many_sides_is_stored_once(service: Service, engine: Engine, event: Event) -> None:
    """Overlapping batches in opposite orders: each waits for the other, none deadlocks, each event is there once."""
    numbers = list(range(1, 101))
    statuses: list[int] = []
    barrier = threading.Barrier(6)

    def send(order: list[int]) -> None:
        with httpx.Client(base_url=f"{service.url}/api/v1/audit", timeout=30) as http:
            barrier.wait()
            for start in range(0, 100, 20):
                batch = [event(number) for number in order[start : start + 40]]
                statuses.append(http.post("/events/batch", json=batch).status_code)

    threads = [threading.Thread(target=send, args=(numbers[:: 1 if n % 2 else -1],)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [201] * 30
    assert rows(engine) == (100, 100)
    assert service.metric("audit_events_written_total") == 100


def test_one_of_two_contents_at_once_wins(service: Service, engine: Engine, event: Event) -> None:
    statuses: list[int] = []
    barrier = threading.Barrier(8)

    def send(content: int) -> None:
        with httpx.Client(base_url=f"{service.url}/api/v1/audit", timeout=30) as http:
            barrier.wait()
            statuses.append(http.post("/events", json=event(1, event_data={"content": content})).status_code)

    threads = [threading.Thread(target=send, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201] + [409] * 7
    assert rows(engine) == (1, 1)


@pytest.mark.postgres
def test_overlapping_batches_wait_in_one_direction(postgres_server: PostgresServer) -> None:
    """One holds 2 and wants 3, the other wants all: had it taken 3 before it waits for 2, neither could go on."""
    engine = engine_for(postgres_server.create_database("datastorage_overlap"))
    schema.upgrade(engine)
    hashes = {UUID(int=number): bytes(32) for number in (3, 1, 2)}
    claimed: list[int] = []

    def claim_all() -> None:
        with engine.begin() as connection:
            claimed.extend(event_id.int for event_id in claim_ids(connection, hashes))

    def waits() -> bool:
        with engine.connect() as connection:
            waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
            return bool(connection.execute(waiting).scalar_one())

    other = threading.Thread(target=claim_all)
    with engine.begin() as connection:
        claim_ids(connection, {UUID(int=2): bytes(32)})
        other.start()
        deadline = time.monotonic() + 60
        while not waits() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert claim_ids(connection, {UUID(int=3): bytes(32)})
    other.join()
    assert claimed == [1]
    engine.dispose()
