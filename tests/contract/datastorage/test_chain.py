"""The chains: each event follows the one stored before it, whoever writes at the same time; old events get theirs."""

from __future__ import annotations

import json
import threading
import time
from hashlib import sha256
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import Engine, bindparam, select, text

from datastorage import schema
from datastorage.chaining import hold_heads
from datastorage.engine import writing
from models.audit_request import read_event
from models.tables import audit_chains, audit_events
from tests.contract.datastorage.conftest import NOW, Event, Service, engine_for
from tests.postgres_plugin import PostgresServer

HEAD = ("correlation_id", "position", "hash")
FIELDS = [column.name for column in audit_events.c if column.name not in ("sequence", "recorded_at")]


def followed(engine: Engine) -> dict[str, int]:
    """Compute every chain again from its rows, by hand; return how many events each has."""
    ends: dict[str, tuple[int, bytes]] = {}
    with engine.connect() as connection:
        for row in connection.execute(select(audit_events).order_by(audit_events.c.sequence)).mappings():
            event = {name: row[name] for name in FIELDS if row[name] is not None and not name.startswith("chain_")}
            event["event_data"] = json.loads(row["event_data"])
            event["event_timestamp"] = row["event_timestamp"].isoformat().replace("+00:00", "Z")
            event |= {name: str(event[name]) for name in ("event_id", "parent_event_id") if name in event}
            content = json.dumps(event, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
            position, before = ends.get(row["correlation_id"], (0, bytes(32)))
            place = f"{position + 1}\n{round(row['recorded_at'].timestamp() * 1_000_000)}\n".encode()
            expected = sha256(b"kubernaut audit chain 1\n" + before + sha256(content).digest() + place).digest()
            assert (row["chain_position"], row["chain_hash"]) == (position + 1, expected)
            ends[row["correlation_id"]] = (position + 1, expected)
        found = connection.execute(select(*(audit_chains.c[name] for name in HEAD))).mappings()
        heads = {row["correlation_id"]: (row["position"], row["hash"]) for row in found}
    assert heads == ends
    return {name: position for name, (position, _) in ends.items()}


def test_each_event_follows_the_one_stored_before_it(client: httpx.Client, engine: Engine, event: Event) -> None:
    """By the order of storing: the times of these events run backwards."""
    client.post("/events", json=event(1, event_timestamp="2026-03-01T11:00:03Z", event_data={"ü": [1.5, "\x00", None]}))
    batch = [
        event(2, event_timestamp="2026-03-01T11:00:02.000001Z", parent_event_id=str(UUID(int=1))),
        event(3, correlation_id="rr-2", event_timestamp="2026-03-01T11:00:01Z"),
        event(4, event_timestamp="2026-03-01T11:00:00Z", namespace="a", duration_ms=2**63 - 1),
    ]
    assert client.post("/events/batch", json=batch).status_code == 201
    assert followed(engine) == {"rr-1": 3, "rr-2": 1}
    shown = client.get("/events", params={"correlation_id": "rr-1"}).json()["data"]
    assert [row["chain_position"] for row in shown] == [1, 2, 3]


def test_what_stores_nothing_leaves_the_chain(client: httpx.Client, engine: Engine, event: Event) -> None:
    client.post("/events", json=event(1))
    assert client.post("/events", json=event(1)).status_code == 200
    assert client.post("/events/batch", json=[event(2), event(1, severity="other")]).status_code == 409
    assert client.post("/events/batch", json=[event(3), event(4, event_outcome="?")]).status_code == 400
    assert followed(engine) == {"rr-1": 1}
    assert client.post("/events/batch", json=[event(1), event(2), event(2)]).status_code == 201
    assert followed(engine) == {"rr-1": 2}


def test_many_writers_fork_no_chain_and_block_nobody(service: Service, engine: Engine, event: Event) -> None:
    """Batches over the same new and old chains, in opposite orders, events of their own: none waits in a circle."""
    chains = [f"rr-{number}" for number in range(12)]
    statuses: list[int] = []
    barrier = threading.Barrier(6)

    def send(writer: int) -> None:
        order = chains[:: 1 if writer % 2 else -1]
        with httpx.Client(base_url=f"{service.url}/api/v1/audit", timeout=30) as http:
            barrier.wait()
            for turn in range(6):
                first = 1 + (writer * 6 + turn) * 100
                wanted = order[: 2 * turn + 2] * 2
                batch = [event(first + n, correlation_id=name) for n, name in enumerate(wanted)]
                statuses.append(http.post("/events/batch", json=batch).status_code)

    threads = [threading.Thread(target=send, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [201] * 36
    assert sum(followed(engine).values()) == 6 * 2 * (2 + 4 + 6 + 8 + 10 + 12)


@pytest.mark.postgres
@pytest.mark.parametrize("there", [False, True])
def test_heads_are_held_in_one_order(postgres_server: PostgresServer, there: bool) -> None:
    """One holds b and wants c, the other wants all: had it taken c before it waits for b, neither could go on."""
    engine = engine_for(postgres_server.create_database(f"datastorage_heads_{there}"))
    schema.upgrade(engine)
    if there:
        with engine.begin() as connection:
            hold_heads(connection, ["a", "b", "c"])
    held: list[str] = []

    def hold_all() -> None:
        with engine.begin() as connection:
            held.extend(hold_heads(connection, ["c", "a", "b"]))

    def waits() -> bool:
        with engine.connect() as connection:
            return bool(connection.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar_one())

    other = threading.Thread(target=hold_all)
    with engine.begin() as connection:
        hold_heads(connection, ["b"])
        other.start()
        deadline = time.monotonic() + 60
        while not waits() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert hold_heads(connection, ["c"])
    other.join()
    assert held == ["a", "b", "c"]
    engine.dispose()


def test_a_populated_database_gets_its_chains(empty_engine: Engine, event: Event) -> None:
    """More than one page of events, chains across the edge of pages; the data stays, and new events go on."""
    schema.upgrade(empty_engine, "0001")
    columns = [name for name in FIELDS if not name.startswith("chain_")]
    insert = text(
        f"INSERT INTO audit_events ({', '.join(columns)}, recorded_at) "
        f"VALUES ({', '.join(f':{name}' for name in columns)}, :recorded_at)"
    ).bindparams(*(text_parameter(name) for name in ("event_id", "parent_event_id", "event_timestamp", "recorded_at")))
    documents = [event(number, correlation_id=f"rr-{number * 7 % 5}") for number in range(1, 2204)]
    records = [read_event(document, now=NOW, new_id=lambda: UUID(int=0)) for document in documents]
    with writing(empty_engine).begin() as connection:
        rows = [{name: getattr(record, name) for name in columns} | {"recorded_at": NOW} for record in records]
        connection.execute(insert, rows)
    schema.upgrade(empty_engine, "0002")
    assert followed(empty_engine) == {"rr-0": 440, "rr-1": 441, "rr-2": 441, "rr-3": 440, "rr-4": 441}
    with empty_engine.connect() as connection:
        before = connection.execute(select(audit_events)).all()
    schema.downgrade(empty_engine, "0001")
    schema.upgrade(empty_engine)
    with empty_engine.connect() as connection:
        assert connection.execute(select(audit_events)).all() == before
    with Service(empty_engine) as service:
        answer = httpx.post(f"{service.url}/api/v1/audit/events", json=event(9001, correlation_id="rr-4"))
        assert answer.status_code == 201
    assert followed(empty_engine)["rr-4"] == 442


def text_parameter(name: str) -> Any:
    """Return a parameter with the type of its column."""
    return bindparam(name, type_=audit_events.c[name].type)
