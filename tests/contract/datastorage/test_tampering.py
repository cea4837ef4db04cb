"""Whoever changes what is stored past the service is told by the verification, with the place; nothing else is.

Every change is looked for twice: by the service, and in an export with nothing but the public key.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import Connection, Engine, delete, func, insert, select, text, update

from cli.exported import DATA, MANIFEST, SIGNATURE, Found, verify_export
from datastorage import checkpoints
from datastorage.checkpoints import Seals
from datastorage.keys import PublicKeys, new_key, read_public_keys, read_signing_key
from datastorage.verification import Report, Verification, placed
from models.audit_chain import Head, extended
from models.audit_checkpoint import Checkpoint, read_checkpoint
from models.audit_request import read_event
from models.tables import (
    audit_chains,
    audit_checkpoint_heads,
    audit_checkpoints,
    audit_event_ids,
    audit_events,
    metadata,
)
from tests.contract.datastorage.conftest import NOW, Event, Service

E = audit_events.c
Told = set[tuple[str, str, int]]


@pytest.fixture
def stored(client: httpx.Client, event: Event) -> httpx.Client:
    """Store three chains, taking a checkpoint twice, and one event after the last of them."""
    batch = [event(n, correlation_id=f"rr-{n % 3}", event_data={"n": n}) for n in range(1, 13)]
    assert client.post("/events/batch", json=batch).status_code == 201
    assert client.post("/checkpoints").status_code == 201
    batch = [event(n, correlation_id=f"rr-{n % 2}", event_data={"n": n}) for n in range(13, 17)]
    assert client.post("/events/batch", json=batch).status_code == 201
    assert client.post("/checkpoints").status_code == 201
    assert client.post("/events", json=event(17, correlation_id="rr-2")).status_code == 201
    return client


def verified(client: httpx.Client, **request: Any) -> dict[str, Any]:
    """Have the service verify what it has."""
    answer = client.post("/verify-chain", json=request)
    assert answer.status_code == 200, answer.text
    report: dict[str, Any] = answer.json()
    assert report["fault_count"] == len(report["faults"])
    assert report["valid"] is (not report["faults"])
    return report


def told(report: dict[str, Any]) -> Told:
    """Return the faults without their words."""
    faults = report["faults"]
    return {(f["kind"], f.get("correlation_id", ""), f.get("position") or f.get("checkpoint", 0)) for f in faults}


def exported(client: httpx.Client, directory: Path, **span: str) -> Path:
    """Write an export as `wfe audit export` does."""
    directory.mkdir(parents=True)
    *lines, last = client.get("/export", params=span).raise_for_status().content.splitlines(keepends=True)
    (directory / DATA).write_bytes(b"".join(lines))
    document = json.loads(last)
    (directory / MANIFEST).write_text(document["manifest"])
    (directory / SIGNATURE).write_text(document["signature"])
    return directory


def offline(directory: Path, keys: PublicKeys, known: Checkpoint | None = None) -> tuple[Told, Found]:
    """Verify an export."""
    found = Found()
    faults = list(verify_export(directory, keys, found, known))
    return {(fault.kind.value, fault.correlation_id, fault.position or fault.checkpoint) for fault in faults}, found


@pytest.fixture
def keys(service: Service) -> PublicKeys:
    """Return the public half of the service's key."""
    assert service.seals.key is not None
    return service.seals.key.public


def test_nothing_is_told_of_what_nobody_touched(stored: httpx.Client, keys: PublicKeys, tmp_path: Path) -> None:
    report = verified(stored)
    assert report["faults"] == []
    assert (report["chains"], report["events"], report["checkpoints"], report["events_since"]) == (3, 17, 2, 1)
    assert verified(stored, correlation_id="rr-1")["events"] == 6
    faults, found = offline(exported(stored, tmp_path / "whole"), keys)
    assert faults == set()
    assert (found.chains, found.events, found.checkpoints, found.events_since) == (3, 17, 2, 1)
    assert stored.post("/checkpoints").json()["events"] == 17
    assert stored.post("/checkpoints").status_code == 200
    assert verified(stored)["faults"] == []


def test_an_empty_audit_is_as_it_was_written(client: httpx.Client, keys: PublicKeys, tmp_path: Path) -> None:
    assert verified(client)["valid"] is True
    assert client.post("/verify-chain").json()["events"] == 0
    assert client.post("/checkpoints").status_code == 409
    assert offline(exported(client, tmp_path / "empty"), keys)[0] == set()


def change_a_field(connection: Connection) -> None:
    connection.execute(update(audit_events).where(_at("rr-0", 2)).values(event_outcome="failure"))


def change_the_data(connection: Connection) -> None:
    connection.execute(update(audit_events).where(_at("rr-0", 2)).values(event_data='{"n":0} '))


def make_the_data_unreadable(connection: Connection) -> None:
    connection.execute(update(audit_events).where(_at("rr-0", 2)).values(event_data='"\n{'))


def change_when_it_was_stored(connection: Connection) -> None:
    stored = connection.execute(select(E.event_timestamp).where(_at("rr-0", 2))).scalar_one()
    connection.execute(update(audit_events).where(_at("rr-0", 2)).values(recorded_at=stored))


def swap_two_rows(connection: Connection) -> None:
    """Each gets the other's place."""
    for old, new in ((2, -1), (3, 2), (-1, 3)):
        connection.execute(update(audit_events).where(_at("rr-0", old)).values(chain_position=new))


def swap_the_order_of_storing(connection: Connection) -> None:
    first, second = (connection.execute(select(E.sequence).where(_at("rr-0", n))).scalar_one() for n in (2, 3))
    for old, new in ((first, -1), (second, first), (-1, second)):
        connection.execute(update(audit_events).where(E.sequence == old).values(sequence=new))


def delete_one_in_the_middle(connection: Connection) -> None:
    connection.execute(delete(audit_events).where(_at("rr-0", 2)))


def delete_the_last(connection: Connection) -> None:
    connection.execute(delete(audit_events).where(_at("rr-2", 5)))


def delete_the_last_with_its_record(connection: Connection) -> None:
    """Everything that the service wrote for it is put back to how it was before."""
    connection.execute(delete(audit_events).where(_at("rr-1", 6)))
    before = connection.execute(select(E.chain_hash).where(_at("rr-1", 5))).scalar_one()
    end = update(audit_chains).where(audit_chains.c.correlation_id == "rr-1")
    connection.execute(end.values(position=5, hash=before))


def delete_a_chain(connection: Connection) -> None:
    connection.execute(delete(audit_events).where(E.correlation_id == "rr-1"))


def delete_a_chain_with_its_record(connection: Connection) -> None:
    delete_a_chain(connection)
    connection.execute(delete(audit_chains).where(audit_chains.c.correlation_id == "rr-1"))


def put_one_in_twice(connection: Connection) -> None:
    row = dict(connection.execute(select(audit_events).where(_at("rr-0", 2))).mappings().one())
    row["sequence"] = connection.execute(select(func.max(E.sequence))).scalar_one() + 1
    connection.execute(insert(audit_events).values(row))


def put_one_in_outside(connection: Connection) -> None:
    row = dict(connection.execute(select(audit_events).where(_at("rr-0", 2))).mappings().one())
    row |= {"sequence": connection.execute(select(func.max(E.sequence))).scalar_one() + 1, "chain_position": 0}
    connection.execute(insert(audit_events).values(row))


def replace_a_checkpoint(connection: Connection) -> None:
    connection.execute(update(audit_checkpoints).where(audit_checkpoints.c.number == 1).values(events=11))


def change_what_a_checkpoint_saw(connection: Connection) -> None:
    heads = audit_checkpoint_heads
    wanted = (heads.c.number == 1) & (heads.c.correlation_id == "rr-2")
    before = connection.execute(select(E.chain_hash).where(_at("rr-2", 3))).scalar_one()
    connection.execute(update(heads).where(wanted).values(position=3, hash=before))


def delete_a_checkpoint(connection: Connection) -> None:
    for table in (audit_checkpoints, audit_checkpoint_heads):
        connection.execute(delete(table).where(table.c.number == 1))


def delete_the_last_checkpoint(connection: Connection) -> None:
    for table in (audit_checkpoints, audit_checkpoint_heads):
        connection.execute(delete(table).where(table.c.number == 2))


def _at(chain: str, position: int) -> Any:
    return (E.correlation_id == chain) & (E.chain_position == position)


ALTERED = {("altered", "rr-0", 2)}
GONE = {("missing", "rr-1", 1), ("missing", "rr-1", 4), ("missing", "rr-1", 6)}
Change = Callable[[Connection], None]
CASES: list[tuple[Change, Told, Told | None]] = [
    # what is done, what the service tells, what the export tells where that is not the same
    (change_a_field, ALTERED, None),
    (change_the_data, ALTERED, None),
    (make_the_data_unreadable, ALTERED, None),
    (change_when_it_was_stored, ALTERED, None),
    (
        swap_two_rows,
        {("altered", "rr-0", 2), ("altered", "rr-0", 3), ("altered", "rr-0", 4), ("out-of-order", "rr-0", 3)},
        {("altered", "rr-0", 2), ("altered", "rr-0", 3), ("altered", "rr-0", 4)},
    ),
    # An export knows the chains' own order only.
    (swap_the_order_of_storing, {("out-of-order", "rr-0", 3)}, set()),
    (delete_one_in_the_middle, {("missing", "rr-0", 2)}, None),
    (delete_the_last, {("missing", "rr-2", 5)}, None),
    (delete_the_last_with_its_record, {("missing", "rr-1", 6)}, None),
    (delete_a_chain, GONE, None),
    (
        delete_a_chain_with_its_record,
        (GONE - {("missing", "rr-1", 1)}) | {("checkpoint", "", 2)},
        GONE - {("missing", "rr-1", 1)},
    ),
    (put_one_in_twice, {("double", "rr-0", 2)}, None),
    (put_one_in_outside, {("unchained", "rr-0", 0)}, None),
    (replace_a_checkpoint, {("checkpoint", "", 1), ("checkpoint", "", 2)}, None),
    (change_what_a_checkpoint_saw, {("checkpoint", "", 1)}, None),
    (delete_a_checkpoint, {("checkpoint", "", 1)}, None),
    (delete_the_last_checkpoint, {("checkpoint", "", 1), ("checkpoint", "", 2)}, set()),
]


@pytest.mark.parametrize(
    ("change", "service_tells", "export_tells"), CASES, ids=lambda case: getattr(case, "__name__", "")
)
def test_told_with_its_place(
    stored: httpx.Client,
    engine: Engine,
    keys: PublicKeys,
    tmp_path: Path,
    change: Change,
    service_tells: Told,
    export_tells: Told | None,
) -> None:
    with engine.begin() as connection:
        change(connection)
    assert told(verified(stored)) == service_tells
    expected = service_tells if export_tells is None else export_tells
    assert offline(exported(stored, tmp_path / "export"), keys)[0] == expected


def test_one_chain_is_verified_alone(stored: httpx.Client, engine: Engine) -> None:
    with engine.begin() as connection:
        change_a_field(connection)
        delete_the_last_with_its_record(connection)
    assert told(verified(stored, correlation_id="rr-0")) == ALTERED
    assert told(verified(stored, correlation_id="rr-1")) == {("missing", "rr-1", 6)}
    assert told(verified(stored, correlation_id="rr-2")) == set()


def test_a_chain_written_anew_with_all_its_hashes(
    stored: httpx.Client, engine: Engine, keys: PublicKeys, tmp_path: Path
) -> None:
    """Who knows how the hashes are made can make a chain that fits; only the signature cannot be made.

    He forgot the record of ids, which no export has.
    """
    with engine.begin() as connection:
        connection.execute(update(audit_events).where(_at("rr-0", 2)).values(event_outcome="failure"))
        rows = connection.execute(select(audit_events).where(E.correlation_id == "rr-0").order_by(E.chain_position))
        head = Head()
        for row in rows.mappings().all():
            head = extended(head, placed(dict(row)).content, row["recorded_at"])
            connection.execute(update(audit_events).where(_at("rr-0", head.position)).values(chain_hash=head.hash))
        end = update(audit_chains).where(audit_chains.c.correlation_id == "rr-0")
        connection.execute(end.values(hash=head.hash))
    expected = {("altered", "rr-0", 4), ("altered", "rr-0", 6)}
    assert told(verified(stored)) == expected | {("identity", "rr-0", 2)}
    assert offline(exported(stored, tmp_path / "export"), keys)[0] == expected


def test_a_record_of_an_id_that_was_removed_or_changed(stored: httpx.Client, engine: Engine) -> None:
    """The first would let an event be stored twice, the second refuses it when it comes again."""
    ids = audit_event_ids.c.event_id
    with engine.begin() as connection:
        gone, changed = (
            connection.execute(select(E.event_id).where(_at(chain, 2))).scalar_one() for chain in ("rr-1", "rr-2")
        )
        connection.execute(delete(audit_event_ids).where(ids == gone))
        connection.execute(update(audit_event_ids).where(ids == changed).values(content_hash=bytes(32)))
    report = verified(stored)
    assert told(report) == {("identity", "rr-1", 2), ("identity", "rr-2", 2)}
    assert [fault["event_id"] for fault in report["faults"]] == [str(gone), str(changed)]
    assert told(verified(stored, correlation_id="rr-1")) == {("identity", "rr-1", 2)}
    assert told(verified(stored, correlation_id="rr-0")) == set()


def test_a_record_of_an_id_without_an_event(stored: httpx.Client, engine: Engine, event: Event) -> None:
    """Whoever knows what an event to come will say could keep it out: it is answered as if it were stored."""
    kept_out = event(99)
    digest = read_event(kept_out, now=NOW, new_id=UUID).content_hash
    with engine.begin() as connection:
        connection.execute(insert(audit_event_ids).values(event_id=UUID(int=99), content_hash=digest))
    assert stored.post("/events", json=kept_out).status_code == 200
    report = verified(stored)
    assert told(report) == {("identity", "", 0)}
    assert [fault.get("event_id") for fault in report["faults"]] == [None, str(UUID(int=99))]


def dump(engine: Engine) -> dict[str, list[Any]]:
    with engine.connect() as connection:
        return {name: list(connection.execute(select(table)).mappings()) for name, table in metadata.tables.items()}


def restore(engine: Engine, rows: dict[str, list[Any]]) -> None:
    with engine.begin() as connection:
        for name, table in metadata.tables.items():
            connection.execute(delete(table))
            if rows[name]:
                connection.execute(insert(table), [dict(row) for row in rows[name]])


def test_an_old_dump_that_was_restored(
    service: Service, client: httpx.Client, engine: Engine, event: Event, keys: PublicKeys, tmp_path: Path
) -> None:
    """It is consistent in itself: the anchor outside the database tells, and a checkpoint that somebody kept."""
    client.post("/events", json=event(1))
    client.post("/checkpoints")
    old = dump(engine)
    client.post("/events", json=event(2))
    kept = client.post("/checkpoints").json()
    restore(engine, old)
    lost = {("checkpoint", "", 2)}
    assert told(verified(client)) == lost
    known = read_checkpoint(kept)
    assert offline(exported(client, tmp_path / "1"), keys, known)[0] == lost
    # Going on does not cover it: another checkpoint 2 is not the one that was seen.
    client.post("/events", json=event(3))
    assert client.post("/checkpoints").json()["number"] == 2
    assert told(verified(client)) == lost
    assert offline(exported(client, tmp_path / "2"), keys, known)[0] == lost
    assert service.seals.anchor is not None
    service.seals.anchor.unlink()
    assert verified(client)["valid"] is True
    request = {"number": kept["number"], "hash": kept["hash"]}
    assert told(verified(client, checkpoint=request)) == lost


def test_a_checkpoint_taken_meanwhile_is_no_fault(
    service: Service, stored: httpx.Client, engine: Engine, event: Event
) -> None:
    """The anchor has it, the snapshot that is being verified does not."""
    verification = Verification(engine, service.seals)
    faults = verification.run(None, None, Report())
    assert next(faults) is None
    stored.post("/events", json=event(100)).raise_for_status()
    assert stored.post("/checkpoints").json()["number"] == 3
    assert list(faults) == [None]
    assert verified(stored)["valid"] is True


def test_many_chains_are_shared_out_among_checkpoints(
    client: httpx.Client, event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "_PAGE", 2)
    monkeypatch.setattr(checkpoints, "_MOST", 4)
    client.post("/events/batch", json=[event(n, correlation_id=f"rr-{n}") for n in range(1, 12)]).raise_for_status()
    taken = client.post("/checkpoints")
    assert (taken.status_code, taken.json()["number"], taken.json()["events"]) == (201, 3, 11)
    client.post("/events/batch", json=[event(n, correlation_id=f"rr-{n}") for n in range(12, 16)]).raise_for_status()
    assert client.post("/checkpoints").json()["number"] == 4
    report = verified(client)
    assert (report["faults"], report["events_since"]) == ([], 0)


def test_an_export_that_was_changed(stored: httpx.Client, keys: PublicKeys, tmp_path: Path) -> None:
    directory = exported(stored, tmp_path / "export")
    lines = (directory / DATA).read_bytes().splitlines(keepends=True)
    (directory / DATA).write_bytes(b"".join(lines[:-1]))
    assert ("export", "", 0) in offline(directory, keys)[0]
    (directory / DATA).write_bytes(b"".join([b"no line\n", *lines[1:]]))
    assert ("export", "", 0) in offline(directory, keys)[0]
    (directory / DATA).write_bytes(b"".join(lines))
    assert offline(directory, keys)[0] == set()
    manifest = (directory / MANIFEST).read_text()
    (directory / MANIFEST).write_text(manifest.replace('"since":null', '"since":"2026-01-01T00:00:00Z"'))
    assert offline(directory, keys)[0] == {("export", "", 0)}


def test_a_signature_of_a_key_that_nobody_trusts(stored: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "other.pub").write_bytes(new_key()[1])
    other = read_public_keys("key", str(tmp_path / "other.pub"))
    directory = exported(stored, tmp_path / "export")
    assert offline(directory, other)[0] == {("export", "", 0), ("checkpoint", "", 1), ("checkpoint", "", 2)}


def test_a_key_is_changed_and_the_old_one_stays_trusted(
    stored: httpx.Client, engine: Engine, event: Event, keys: PublicKeys, tmp_path: Path
) -> None:
    (tmp_path / "key").write_bytes(new_key()[0])
    key = read_signing_key("key", str(tmp_path / "key"))
    with Service(engine, Seals(key, keys)) as rotated, httpx.Client(base_url=f"{rotated.url}/api/v1/audit") as client:
        assert client.post("/checkpoints").json()["key_id"] == key.key_id
        assert verified(client)["faults"] == []
        assert offline(exported(client, tmp_path / "export"), keys | key.public)[0] == set()
    assert told(verified(stored)) == {("checkpoint", "", 3)}


def test_a_span_exports_whole_chains(
    client: httpx.Client, engine: Engine, event: Event, keys: PublicKeys, tmp_path: Path
) -> None:
    client.post("/events/batch", json=[event(1), event(2), event(3, correlation_id="rr-2")])
    client.post("/checkpoints")
    with engine.begin() as connection:
        count = connection.execute(select(func.count()).select_from(audit_events)).scalar_one()
    assert count == 3
    faults, found = offline(exported(client, tmp_path / "all", since="1h"), keys)
    assert (faults, found.events) == (set(), 3)
    faults, found = offline(exported(client, tmp_path / "none", until="2026-02-01"), keys)
    assert (faults, found.events) == (set(), 0)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"correlation_id": ""}, {"correlation_id"}),
        ({"correlation_id": 3, "checkpoint": {"number": 0, "hash": "00" * 32}}, {"correlation_id", "checkpoint"}),
        ({"checkpoint": {"number": 1, "hash": "zz" * 32}}, {"checkpoint"}),
        ({"checkpoint": 1}, {"checkpoint"}),
        ([], set()),
    ],
)
def test_a_wrong_request_names_its_fields(client: httpx.Client, body: Any, fields: set[str]) -> None:
    answer = client.post("/verify-chain", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert {error["field"] for error in answer.json().get("errors", [])} == fields


def test_a_service_without_a_key_signs_nothing(
    engine: Engine, client: httpx.Client, event: Event, tmp_path: Path
) -> None:
    client.post("/events", json=event(1))
    with Service(engine) as unsealed, httpx.Client(base_url=f"{unsealed.url}/api/v1/audit") as other:
        assert other.post("/checkpoints").json()["type"].endswith("/no-signing-key")
        assert verified(other)["newest_checkpoint"] is None
        last = other.get("/export").content.splitlines()[-1]
    assert json.loads(last)["signature"] is None


def test_a_client_that_leaves_gives_its_place_back(stored: httpx.Client) -> None:
    for _ in range(5):
        with stored.stream("GET", "/export") as answer:
            assert answer.status_code == 200
    assert verified(stored)["valid"] is True


@pytest.mark.parametrize("column", [column.name for column in audit_events.c if column.name != "sequence"])
def test_any_value_in_any_column_is_a_fault_and_no_error(
    stored: httpx.Client, engine: Engine, keys: PublicKeys, tmp_path: Path, column: str
) -> None:
    """SQLite keeps whatever is put into a column."""
    if engine.dialect.name != "sqlite":
        return
    for value in ("'odd'", "x'00ff'", "17"):
        with engine.begin() as connection:
            connection.execute(text(f"UPDATE audit_events SET {column} = {value} WHERE event_id LIKE '%0006'"))
        assert verified(stored)["valid"] is False
        assert offline(exported(stored, tmp_path / f"export-{value[:2]}"), keys)[0]
