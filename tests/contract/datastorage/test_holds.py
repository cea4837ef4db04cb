"""Legal holds: set and lifted once, told in the chain they are about, seen by everybody who may read."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, select

from models.tables import audit_events
from tests.contract.datastorage.conftest import Event, Service


def told(engine: Engine, chain: str) -> list[tuple[str, str, str]]:
    """Return what the chain tells of holds: type, kind of actor, who."""
    column = audit_events.c
    wanted = select(column.event_type, column.actor_type, column.actor_id).where(
        column.correlation_id == chain, column.event_type != "workflow.started"
    )
    with engine.connect() as connection:
        return [(kind, actor, name) for kind, actor, name in connection.execute(wanted.order_by(column.sequence))]


def holds(client: httpx.Client) -> list[Any]:
    return [(hold["correlation_id"], hold["reason"]) for hold in client.get("/holds").json()["holds"]]


def test_set_seen_and_lifted(client: httpx.Client, engine: Engine, event: Event) -> None:
    client.post("/events/batch", json=[event(1), event(2)])
    ask = {"correlation_id": "rr-1", "reason": "matter 12", "requested_by": "alice"}
    made = client.post("/holds", json=ask)
    assert (made.status_code, made.json()["events"], made.json()["set_by"]) == (201, 3, "unverified:alice")
    assert client.get("/holds").json()["holds"] == [made.json()]
    assert client.post("/holds", json=ask).status_code == 200
    other = client.post("/holds", json=ask | {"reason": "matter 13"})
    assert (other.status_code, other.json()["type"]) == (409, "https://kubernaut.ai/problems/hold-exists")
    assert "matter 12" in other.json()["detail"]
    lifted = client.post("/holds/lift", json=ask | {"reason": "closed", "requested_by": None})
    assert (lifted.status_code, lifted.json()["reason"]) == (200, "matter 12")
    assert holds(client) == []
    gone = client.post("/holds/lift", json=ask)
    assert (gone.status_code, gone.json()["type"]) == (404, "https://kubernaut.ai/problems/no-hold")
    assert told(engine, "rr-1") == [
        ("audit.hold_set", "user", "unverified:alice"),
        ("audit.hold_lifted", "user", "unverified:unknown"),
    ]
    last = client.get("/events", params={"event_type": "audit.hold_lifted"}).json()["data"][0]
    assert last["event_data"]["reason"] == "closed"
    assert last["event_data"]["set_reason"] == "matter 12"
    assert client.post("/verify-chain").json()["valid"] is True


def test_everything_and_single_chains_are_held_apart(client: httpx.Client, engine: Engine) -> None:
    for ask in ({"everything": True}, {"correlation_id": "a/b ü"}, {"correlation_id": "not there yet"}):
        assert client.post("/holds", json=ask | {"reason": "why"}).status_code == 201
    assert holds(client) == [(None, "why"), ("a/b ü", "why"), ("not there yet", "why")]
    assert client.post("/holds/lift", json={"everything": True, "reason": "done"}).status_code == 200
    assert holds(client) == [("a/b ü", "why"), ("not there yet", "why")]
    assert [kind for kind, _, _ in told(engine, "audit-hold")] == ["audit.hold_set", "audit.hold_lifted"]
    assert client.post("/verify-chain").json()["valid"] is True


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"reason": "x"}, {"correlation_id"}),
        ({"reason": "x", "correlation_id": "a", "everything": True}, {"correlation_id"}),
        ({"reason": " ", "correlation_id": ""}, {"correlation_id", "reason"}),
        ({"everything": "yes", "requested_by": 3}, {"everything", "reason", "requested_by"}),
        ({"correlation_id": "a", "reason": "r" * 1025}, {"reason"}),
        ({"correlation_id": "a", "reason": "\x00"}, {"reason"}),
        ([], set()),
    ],
)
def test_a_wrong_ask_names_its_fields_and_changes_nothing(client: httpx.Client, body: Any, fields: set[str]) -> None:
    for route in ("/holds", "/holds/lift"):
        answer = client.post(route, json=body)
        assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
        assert {error["field"] for error in answer.json().get("errors", [])} == fields
    assert holds(client) == []
    assert client.get("/events").json()["data"] == []


def test_many_at_once_set_it_once(service: Service, client: httpx.Client, engine: Engine) -> None:
    statuses: list[int] = []
    barrier = threading.Barrier(4)

    def send() -> None:
        with httpx.Client(base_url=f"{service.url}/api/v1/audit", timeout=60) as http:
            barrier.wait()
            statuses.append(http.post("/holds", json={"correlation_id": "rr-1", "reason": "why"}).status_code)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 200, 200, 201]
    assert len(told(engine, "rr-1")) == 1


@pytest.mark.parametrize("kind", ["audit.hold_set", "audit.hold_lifted", "audit.month_removed"])
def test_what_tells_of_holds_and_months_is_written_by_the_service_alone(
    client: httpx.Client, event: Event, kind: str
) -> None:
    """Whoever stores events could make it look as if a hold had been lifted."""
    for route, body in (
        ("/events", event(1, event_type=kind)),
        ("/events/batch", [event(1), event(2, event_type=kind)]),
    ):
        answer = client.post(route, json=body)
        assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (400, ["event_type"])
    assert client.get("/events").json()["data"] == []
