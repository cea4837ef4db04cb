"""A hold whose row was taken away, changed or put there past the service is told, with the place; nothing else is.

Every change is looked for twice: by the service, and in an export with nothing but the public key.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection, Engine, delete, insert, select, text, update

from cli.exported import DATA, MANIFEST, Found, verify_export
from datastorage.clock import Clock
from datastorage.holds import Holds
from datastorage.keys import PublicKeys
from datastorage.reading_back import events_by_chain
from datastorage.removals import check_removals
from datastorage.verification import Report, Verification
from models.audit_hold import EVERYTHING, HoldAsk
from models.tables import audit_events, audit_holds
from tests.contract.datastorage.conftest import NOW, Event, Service
from tests.contract.datastorage.test_tampering import Told, exported, offline, told, verified

H = audit_holds.c


@pytest.fixture
def held(client: httpx.Client, event: Event) -> httpx.Client:
    """Store three chains: one is on hold, one was, one never; everything is on hold, and so is what tells of that."""
    batch = [event(n, correlation_id=f"rr-{(n + 1) // 2}", event_data={"n": n}) for n in range(1, 7)]
    client.post("/events/batch", json=batch).raise_for_status()
    for ask in ({"correlation_id": "rr-1"}, {"everything": True}, {"correlation_id": "audit-hold"}):
        sent = client.post("/holds", json=ask | {"reason": 'mätter "12"', "requested_by": "alice"})
        assert sent.status_code == 201
    ask = {"correlation_id": "rr-2", "reason": "matter 13"}
    for route in ("/holds", "/holds/lift"):
        assert client.post(route, json=ask).is_success
    client.post("/holds", json={"correlation_id": "to come", "reason": "matter 14"}).raise_for_status()
    client.post("/events", json=event(7, correlation_id="rr-1")).raise_for_status()
    return client


@pytest.fixture
def keys(service: Service) -> PublicKeys:
    """Return the public half of the service's key."""
    assert service.seals.key is not None
    return service.seals.key.public


def take(*held: str) -> Callable[[Connection], None]:
    def change(connection: Connection) -> None:
        connection.execute(delete(audit_holds).where(H.correlation_id.in_(held)))

    return change


def turn(**values: Any) -> Callable[[Connection], None]:
    def change(connection: Connection) -> None:
        connection.execute(update(audit_holds).where(H.correlation_id == "rr-1").values(values))

    return change


def put(held: str) -> Callable[[Connection], None]:
    def change(connection: Connection) -> None:
        row = {"correlation_id": held, "reason": "matter 13", "set_by": "unverified:unknown", "set_at": NOW}
        connection.execute(insert(audit_holds).values(row))

    return change


CASES: list[tuple[str, Callable[[Connection], None], Told]] = [
    ("one", take("rr-1"), {("hold", "rr-1", 3)}),
    ("everything", take(EVERYTHING), {("hold", "audit-hold", 1)}),
    ("the chain of holds", take("audit-hold"), {("hold", "audit-hold", 2)}),
    ("before its first event", take("to come"), {("hold", "to come", 1)}),
    (
        "all",
        take("rr-1", EVERYTHING, "audit-hold", "to come"),
        {("hold", "rr-1", 3), ("hold", "audit-hold", 1), ("hold", "audit-hold", 2), ("hold", "to come", 1)},
    ),
    ("reason", turn(reason="matter 15"), {("hold", "rr-1", 3)}),
    ("who", turn(set_by="unverified:bob"), {("hold", "rr-1", 3)}),
    ("by his word", turn(requested_by=None), {("hold", "rr-1", 3)}),
    ("when", turn(set_at=NOW.replace(microsecond=1)), {("hold", "rr-1", 3)}),
    ("on another", turn(correlation_id="rr-3"), {("hold", "rr-1", 3), ("hold", "rr-3", 0)}),
    ("on what was lifted", put("rr-2"), {("hold", "rr-2", 4)}),
    ("on what nobody held", put("rr-3"), {("hold", "rr-3", 0)}),
    ("on what is not there", put("rr-9"), {("hold", "rr-9", 0)}),
]


def test_what_the_service_did_is_not_told(held: httpx.Client, keys: PublicKeys, tmp_path: Path) -> None:
    assert verified(held)["faults"] == []
    for chain in ("rr-1", "rr-2", "rr-3", "audit-hold", "to come", "never there"):
        assert verified(held, correlation_id=chain)["faults"] == []
    assert offline(exported(held, tmp_path / "whole"), keys)[0] == set()
    assert offline(exported(held, tmp_path / "span", since="1h"), keys)[0] == set()
    for ask in ({"correlation_id": "rr-1"}, {"everything": True}, {"correlation_id": "audit-hold"}):
        assert held.post("/holds/lift", json=ask | {"reason": "closed"}).status_code == 200
    assert held.post("/holds", json={"correlation_id": "rr-2", "reason": "again"}).status_code == 201
    assert verified(held)["faults"] == []
    assert offline(exported(held, tmp_path / "later"), keys)[0] == set()


@pytest.mark.parametrize(("change", "expected"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_told_with_its_place(
    held: httpx.Client,
    engine: Engine,
    keys: PublicKeys,
    tmp_path: Path,
    change: Callable[[Connection], None],
    expected: Told,
) -> None:
    with engine.begin() as connection:
        change(connection)
    assert told(verified(held)) == expected
    assert offline(exported(held, tmp_path / "export"), keys)[0] == expected
    for chain in ("rr-1", "rr-3", "audit-hold"):
        assert told(verified(held, correlation_id=chain)) == {fault for fault in expected if fault[1] == chain}


def test_the_words_say_what_happened_and_where(held: httpx.Client, engine: Engine) -> None:
    with engine.begin() as connection:
        take(EVERYTHING)(connection)
        turn(reason="matter 15", set_by="bob")(connection)
        put("rr-9")(connection)
    faults = {fault["correlation_id"]: fault for fault in verified(held)["faults"]}
    events = held.get("/events", params={"event_type": "audit.hold_set"}).json()["data"]
    ids = {row["event_id"] for row in events if row["correlation_id"] in ("audit-hold", "rr-1")}
    assert {faults[chain]["event_id"] for chain in ("audit-hold", "rr-1")} <= ids
    assert {chain: fault["detail"] for chain, fault in faults.items()} == {
        "audit-hold": "a legal hold on everything was set here and not lifted, and does not stand any more",
        "rr-1": "a legal hold does not stand as it was set here: reason, set_by",
        "rr-9": "a legal hold stands that no event has set",
    }


def test_a_hold_that_is_set_again_ends_the_fault(held: httpx.Client, engine: Engine) -> None:
    with engine.begin() as connection:
        take("rr-1")(connection)
    assert told(verified(held)) == {("hold", "rr-1", 3)}
    assert held.post("/holds", json={"correlation_id": "rr-1", "reason": "again"}).status_code == 201
    assert verified(held)["faults"] == []


def test_a_changed_event_is_told_once(held: httpx.Client, engine: Engine, keys: PublicKeys, tmp_path: Path) -> None:
    """The event that set the hold says something else than the hold because it was changed: that is what is told."""
    there = (audit_events.c.correlation_id == "rr-1") & (audit_events.c.chain_position == 3)
    with engine.begin() as connection:
        connection.execute(update(audit_events).where(there).values(event_data='{"everything":false,"reason":"none"}'))
    assert told(verified(held)) == {("altered", "rr-1", 3)}
    assert offline(exported(held, tmp_path / "export"), keys)[0] == {("altered", "rr-1", 3)}


def test_an_export_has_the_holds_of_its_chains_alone(
    held: httpx.Client, engine: Engine, keys: PublicKeys, tmp_path: Path
) -> None:
    def holds(directory: Path) -> list[str]:
        lines = map(json.loads, (directory / DATA).read_bytes().splitlines())
        return [line["hold"]["correlation_id"] for line in lines if "hold" in line]

    assert holds(exported(held, tmp_path / "whole")) == ["", "audit-hold", "rr-1", "to come"]
    assert holds(exported(held, tmp_path / "none", until="2026-02-01")) == []
    with engine.begin() as connection:
        put("rr-3")(connection)
        put("rr-9")(connection)
    # A hold without any event is in no span.
    assert offline(exported(held, tmp_path / "span", since="1h"), keys)[0] == {("hold", "rr-3", 0)}


def test_an_export_without_holds_says_nothing_of_them(held: httpx.Client, tmp_path: Path) -> None:
    """As an older release wrote it."""
    directory = exported(held, tmp_path / "export")
    lines = (directory / DATA).read_bytes().splitlines(keepends=True)
    (directory / DATA).write_bytes(b"".join(line for line in lines if not line.startswith(b'{"hold"')))
    manifest = json.loads((directory / MANIFEST).read_text())
    assert manifest.pop("holds") is True
    (directory / MANIFEST).write_text(json.dumps(manifest))
    faults = list(verify_export(directory, PublicKeys(()), Found()))
    assert [fault.kind.value for fault in faults] == ["export"]


def test_any_value_in_any_column_is_a_fault_and_no_error(
    held: httpx.Client, engine: Engine, keys: PublicKeys, tmp_path: Path
) -> None:
    """SQLite keeps whatever is put into a column."""
    if engine.dialect.name != "sqlite":
        return
    for number, column in enumerate(("reason", "set_by", "requested_by", "set_at")):
        for value in ("'odd'", "x'00ff'", "17"):
            with engine.begin() as connection:
                connection.execute(text(f"UPDATE audit_holds SET {column} = {value} WHERE correlation_id = 'rr-1'"))
            report = verified(held, correlation_id="rr-1")
            assert told(report) == {("hold", "rr-1", 3)}
            assert column in report["faults"][0]["detail"]
        assert offline(exported(held, tmp_path / f"{number}"), keys)[0] == {("hold", "rr-1", 3)}


def test_what_is_set_and_lifted_meanwhile_is_no_fault(
    held: httpx.Client,
    service: Service,
    engine: Engine,
    keys: PublicKeys,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hold and its event come in one transaction: whoever looks at one moment sees both, or neither."""
    rounds = iter(range(1, 10))

    def meanwhile() -> None:
        name = f"meanwhile-{next(rounds)}"
        asks = [
            ("/holds", "rr-3"),
            ("/holds", name),
            ("/holds/lift", "rr-1"),
            ("/holds/lift", "rr-3"),
            ("/holds", "rr-1"),
        ]
        for route, chain in asks:
            held.post(route, json={"correlation_id": chain, "reason": name}).raise_for_status()
        held.post("/holds", json={"correlation_id": "rr-2", "reason": "matter 12"}).raise_for_status()

    def stubs_checked(connection: Connection, *arguments: Any) -> Any:
        connection.execute(select(audit_events)).all()  # from here on it sees what there is now
        meanwhile()
        return (yield from check_removals(connection, *arguments))

    def read(connection: Connection, *conditions: Any) -> Any:
        meanwhile()  # the export has its holds, and reads events now
        yield from events_by_chain(connection, *conditions)

    with monkeypatch.context() as patch:
        patch.setattr("datastorage.exporting.events_by_chain", read)
        assert offline(exported(held, tmp_path / "export"), keys)[0] == set()
        patch.setattr("datastorage.verification.check_removals", stubs_checked)
        verification = Verification(engine, service.seals).run(None, None, Report())
        assert [fault for fault in verification if fault] == []
    assert next(rounds) == 3, "both were interrupted"
    assert verified(held)["faults"] == []


def test_a_storm_of_holds_is_never_a_fault(held: httpx.Client, service: Service, engine: Engine) -> None:
    def storm(name: str) -> None:
        holds = Holds(engine, Clock())
        for _ in range(12):
            for chain in (name, "rr-3"):
                ask = HoldAsk(chain, "storm", None)
                holds.set(ask, name)
                if chain == name:
                    holds.lift(ask, name)

    threads = [threading.Thread(target=storm, args=(f"storm-{number}",)) for number in range(2)]
    for thread in threads:
        thread.start()
    looked = 0
    while looked < 3 or any(thread.is_alive() for thread in threads):
        assert [fault for fault in Verification(engine, service.seals).run(None, None, Report()) if fault] == []
        looked += 1
    for thread in threads:
        thread.join()
    assert verified(held)["faults"] == []
