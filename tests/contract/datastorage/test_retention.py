"""Whole months go, with a signed stub in their place: nothing that is on hold, and no forgery of a stub helps."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, Engine, delete, select, update
from sqlalchemy.exc import DBAPIError

from datastorage import retention
from datastorage.checkpoints import Checkpoints, Seals
from datastorage.clock import Clock
from datastorage.holds import Holds, keep_holds
from datastorage.keys import PublicKeys, new_key, read_signing_key
from datastorage.metrics import Metrics
from datastorage.partitions import divided, months_of
from datastorage.reading_back import events_by_chain
from datastorage.removals import check_removals, columns_of, removal_of, stretches_of
from datastorage.repository import Repository
from datastorage.retention import Retention
from datastorage.verification import Report, Verification
from models.audit_hold import EVERYTHING, HoldAsk
from models.audit_months import FOR_EVER, Keep, Month
from models.audit_removal import StretchDigest
from models.audit_request import read_event
from models.errors import Misconfigured
from models.tables import audit_events, audit_holds, audit_removals, audit_removed
from tests.contract.datastorage.conftest import NOW, Event, Service, StoppedClock
from tests.contract.datastorage.test_tampering import Told, exported, offline, told, verified

E = audit_events.c
OCTOBER, NOVEMBER, DECEMBER = Month(2025, 10), Month(2025, 11), Month(2025, 12)
JANUARY = datetime(2026, 1, 20, tzinfo=UTC)
KEEP = Keep(days=30)  # on 1 March all of December is older, not all of January
# By month of storing: the chains that get an event then, in this order.
PAST = {
    datetime(2025, 11, 3, tzinfo=UTC): ("old", "long", "long", "tail", "old", "old"),
    datetime(2025, 12, 31, 23, 59, 59, 999999, tzinfo=UTC): ("long", "gap", "tail", "long"),
    JANUARY: ("long", "recent", "long"),
    NOW - timedelta(days=1): ("long", "gap", "recent"),
}


@dataclass(frozen=True, slots=True)
class At(Clock):
    """A clock that stands at an instant."""

    instant: datetime = NOW

    def now(self) -> datetime:
        return self.instant


@pytest.fixture
def past(service: Service, client: httpx.Client, event: Event) -> httpx.Client:
    """Store events over five months, with a checkpoint after each third event: ends of chains within months, too."""
    numbers = iter(range(1, 100))
    assert service.seals.key is not None
    for at, chains in PAST.items():
        for chain in chains:
            number = next(numbers)
            stamp = (at - timedelta(minutes=5)).isoformat()
            document = event(number, correlation_id=chain, event_timestamp=stamp, event_data={"n": number})
            record = read_event(document, now=at, new_id=lambda: UUID(int=0))
            Repository(service.engine).store([record], at)
            if number % 3 == 0:
                metrics = Metrics(CollectorRegistry())
                Checkpoints(service.engine, service.seals, At(instant=at), metrics).take(service.seals.key)
    assert verified(client)["valid"] is True
    return client


@pytest.fixture
def keys(service: Service) -> PublicKeys:
    """Return the public half of the service's key."""
    assert service.seals.key is not None
    return service.seals.key.public


@pytest.fixture
def retain(service: Service) -> Callable[[], CollectorRegistry]:
    """Return what removes the months that are over; it returns its metrics."""

    def run() -> CollectorRegistry:
        registry = CollectorRegistry()
        Retention(service.engine, service.seals, StoppedClock(), Metrics(registry), KEEP).run()
        return registry

    return run


Retain = Callable[[], CollectorRegistry]


def counted(registry: CollectorRegistry, name: str) -> float:
    return registry.get_sample_value(name, {"service": "datastorage"}) or 0.0


def stored(engine: Engine) -> dict[str, list[int]]:
    """Return the places that each chain has events at."""
    places: dict[str, list[int]] = {}
    with engine.connect() as connection:
        for chain, position in connection.execute(
            select(E.correlation_id, E.chain_position).order_by(E.correlation_id, E.chain_position)
        ):
            places.setdefault(chain, []).append(position)
    return places


def months(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.execute(select(audit_removals.c.month).order_by(audit_removals.c.number)).scalars())


def dump(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return [list(connection.execute(select(table))) for table in (audit_events, audit_removals, audit_removed)]


def test_whole_months_go_and_the_chains_go_on(
    past: httpx.Client, engine: Engine, keys: PublicKeys, retain: Retain, tmp_path: Path, event: Event
) -> None:
    assert counted(retain(), "audit_months_removed_total") == 2
    assert months(engine) == ["2025-11", "2025-12"]
    left = {"audit-retention": [1, 2], "gap": [2], "long": [5, 6, 7], "recent": [1, 2]}
    assert stored(engine) == left
    report = verified(past)
    assert report["faults"] == []
    assert [(stub["month"], stub["events"], stub["chains"]) for stub in report["removals"]] == [
        ("2025-11", 6, 3),
        ("2025-12", 4, 3),
    ]
    for chain in ("old", "long", "tail", "gap", "recent"):
        assert verified(past, correlation_id=chain)["faults"] == []
    faults, found = offline(exported(past, tmp_path / "whole"), keys)
    assert (faults, [stub.month for stub in found.removals]) == (set(), ["2025-11", "2025-12"])
    assert offline(exported(past, tmp_path / "span", since="2026-02-20"), keys)[0] == set()
    # A chain that is gone is gone on with where it ended, and a checkpoint is taken of it.
    assert past.post("/events", json=event(900, correlation_id="old")).status_code == 201
    assert stored(engine)["old"] == [4]
    assert past.post("/checkpoints").status_code == 201
    report = verified(past)
    assert (report["faults"], report["events_since"]) == ([], 0)
    faults, found = offline(exported(past, tmp_path / "later"), keys)
    assert (faults, found.events_since) == (set(), 0)
    before = dump(engine)
    assert counted(retain(), "audit_months_removed_total") == 0
    assert dump(engine) == before


def test_the_removal_is_audited_and_ids_stay_taken(
    past: httpx.Client, engine: Engine, retain: Retain, event: Event
) -> None:
    retain()
    told_of = past.get("/events", params={"correlation_id": "audit-retention"}).json()["data"]
    assert [(e["event_type"], e["resource_id"], e["event_data"]["events"]) for e in told_of] == [
        ("audit.month_removed", "2025-12", 4),
        ("audit.month_removed", "2025-11", 6),
    ]
    assert past.post("/events", json=event(1)).status_code == 409
    with engine.connect() as connection:
        if divided(connection):
            assert not {NOVEMBER, DECEMBER} & months_of(connection)


@pytest.mark.parametrize(
    ("held", "gone"),
    [("tail", []), ("gap", ["2025-11"]), ("recent", ["2025-11", "2025-12"]), (EVERYTHING, [])],
)
def test_a_month_with_something_on_hold_stays_whole(
    past: httpx.Client, engine: Engine, keys: PublicKeys, retain: Retain, tmp_path: Path, held: str, gone: list[str]
) -> None:
    ask = {"correlation_id": held or None, "everything": not held, "reason": "matter 12"}
    assert past.post("/holds", json=ask).status_code == 201
    retain()
    assert months(engine) == gone
    assert verified(past)["faults"] == []
    assert past.post("/holds/lift", json=ask).status_code == 200
    retain()
    assert set(months(engine)) == {"2025-11", "2025-12"}
    assert not {"old", "tail"} - {"tail"} & stored(engine).keys()
    assert verified(past)["faults"] == []
    assert offline(exported(past, tmp_path / "export"), keys)[0] == set()


@pytest.mark.parametrize(("held", "stay"), [("tail", ["2025-11", "2025-12"]), ("old", ["2025-11"]), (EVERYTHING, None)])
def test_what_is_on_hold_stays_when_its_row_is_taken_away(
    past: httpx.Client,
    service: Service,
    engine: Engine,
    retain: Retain,
    caplog: pytest.LogCaptureFixture,
    held: str,
    stay: list[str] | None,
) -> None:
    """The chain tells of the hold: a removal would cover up that somebody ended it past the service."""
    ask = {"correlation_id": held or None, "everything": not held, "reason": "matter 12"}
    past.post("/holds", json=ask).raise_for_status()
    with engine.begin() as connection:
        connection.execute(delete(audit_holds))
    stay = ["2025-11", "2025-12"] if stay is None else stay
    assert counted(retain(), "audit_months_refused_total") == len(stay)
    assert months(engine) == [month for month in ("2025-11", "2025-12") if month not in stay]
    told_of = [vars(record)["fields"] for record in caplog.records if record.levelname == "ERROR"]
    assert [fields["month"] for fields in told_of] == stay
    assert all("was set here and not lifted, and does not stand any more" in fields["reason"] for fields in told_of)
    assert {kind for kind, _, _ in told(verified(past))} == {"hold"}
    # The way out is audited, too.
    for route in ("/holds", "/holds/lift"):
        assert past.post(route, json=ask).is_success
    retain()
    assert set(months(engine)) == {"2025-11", "2025-12"}
    assert verified(past)["faults"] == []


def test_a_removal_does_not_tell_of_itself_that_a_hold_was_lifted(
    past: httpx.Client, engine: Engine, event: Event, retain: Retain
) -> None:
    """What it takes of December stands behind the event of November that set the hold."""
    at = datetime(2025, 12, 5, tzinfo=UTC)
    Holds(engine, At(instant=datetime(2025, 11, 5, tzinfo=UTC))).set(HoldAsk("short", "matter 11", None), "counsel")
    document = event(50, correlation_id="short", event_timestamp=at.isoformat())
    Repository(engine).store([read_event(document, now=at, new_id=lambda: UUID(int=0))], at)
    with engine.begin() as connection:
        connection.execute(delete(audit_holds))
    assert counted(retain(), "audit_months_refused_total") == 2
    assert stored(engine)["short"] == [1, 2]
    assert told(verified(past)) == {("hold", "short", 1)}


def test_a_hold_whose_lifting_was_removed_is_not_told(
    past: httpx.Client, service: Service, engine: Engine, keys: PublicKeys, retain: Retain, tmp_path: Path
) -> None:
    """It was set in November, which another hold keeps, and lifted in December, which goes."""
    ask = HoldAsk("short", "matter 11", None)
    Holds(engine, At(instant=datetime(2025, 11, 5, tzinfo=UTC))).set(ask, "counsel")
    Holds(engine, At(instant=datetime(2025, 12, 5, tzinfo=UTC))).lift(ask, "counsel")
    past.post("/holds", json={"correlation_id": "old", "reason": "matter 12"}).raise_for_status()
    retain()
    assert months(engine) == ["2025-12"]
    assert stored(engine)["short"] == [1], "what set it is there, what lifted it is gone"
    assert verified(past)["faults"] == []
    assert verified(past, correlation_id="short")["faults"] == []
    assert offline(exported(past, tmp_path / "export"), keys)[0] == set()
    past.post("/holds/lift", json={"correlation_id": "old", "reason": "closed"}).raise_for_status()
    retain()
    assert months(engine) == ["2025-12", "2025-11"]
    assert verified(past)["faults"] == []


def test_what_became_of_each_month_is_said_and_a_dry_run_changes_nothing(
    past: httpx.Client, service: Service, engine: Engine
) -> None:
    def outcomes(*, dry: bool) -> list[str]:
        metrics = Metrics(CollectorRegistry())
        found = Retention(engine, service.seals, StoppedClock(), metrics, KEEP).months(dry=dry)
        return [str(outcome) for outcome in found if not outcome.detail.startswith("there is nothing")]

    past.post("/holds", json={"correlation_id": "gap", "reason": "matter 12"}).raise_for_status()
    held = "2025-12: held: on legal hold: gap"
    ends = {"2026-01": "2026-03-03", "2026-02": "2026-03-31", "2026-03": "2026-05-01"}
    kept = [f"{month}: kept: until {end}" for month, end in ends.items()]
    before = dump(engine)
    assert outcomes(dry=True) == ["2025-11: would be removed: 6 events of 3 chains", held, *kept]
    assert dump(engine) == before
    with engine.connect() as connection:
        assert not divided(connection) or NOVEMBER in months_of(connection)
    assert outcomes(dry=False) == ["2025-11: removed: 6 events of 3 chains, stub 1", held, *kept]
    assert outcomes(dry=False) == [held, *kept]
    past.post("/holds/lift", json={"correlation_id": "gap", "reason": "closed"}).raise_for_status()
    with engine.begin() as connection:
        connection.execute(update(audit_events).where(_at("tail", 2)).values(event_outcome="failure"))
    refused = f"2025-12: refused: tail event 2 ({UUID(int=9)}) is not as it was written"
    assert outcomes(dry=True) == outcomes(dry=False) == [refused, *kept]


def test_a_later_month_goes_before_an_earlier_one(
    past: httpx.Client, engine: Engine, keys: PublicKeys, retain: Retain, tmp_path: Path
) -> None:
    """`old` is on hold, so November stays; what December had of other chains is gone from their middle and end."""
    past.post("/holds", json={"correlation_id": "old", "reason": "matter 12"}).raise_for_status()
    retain()
    assert months(engine) == ["2025-12"]
    left = stored(engine)
    assert (left["long"], left["tail"]) == ([1, 2, 5, 6, 7], [1])
    assert verified(past)["faults"] == []
    assert offline(exported(past, tmp_path / "export"), keys)[0] == set()
    with engine.begin() as connection:
        connection.execute(update(audit_events).where(_at("long", 2)).values(chain_hash=b"\1" * 32))
    assert {("altered", "long", 2), ("altered", "long", 3)} <= told(verified(past))
    assert {("altered", "long", 2), ("altered", "long", 3)} <= offline(exported(past, tmp_path / "2"), keys)[0]


def _at(chain: str, position: int) -> Any:
    return (E.correlation_id == chain) & (E.chain_position == position)


def delete_a_stub(connection: Connection) -> None:
    for table in (audit_removals, audit_removed):
        connection.execute(delete(table).where(table.c.number == 1))


def delete_the_last_stub(connection: Connection) -> None:
    for table in (audit_removals, audit_removed):
        connection.execute(delete(table).where(table.c.number == 2))


def change_the_month(connection: Connection) -> None:
    connection.execute(update(audit_removals).where(audit_removals.c.number == 1).values(month="2025-10"))


def change_the_count(connection: Connection) -> None:
    connection.execute(update(audit_removals).where(audit_removals.c.number == 1).values(events=5))


def delete_a_stretch(connection: Connection) -> None:
    connection.execute(
        delete(audit_removed).where(audit_removed.c.number == 1, audit_removed.c.correlation_id == "old")
    )


def stretch_over_one_more(connection: Connection) -> None:
    """An event of January is removed, and the stub of December made to say so: only the signature cannot be made."""
    connection.execute(delete(audit_events).where(_at("long", 5)))
    gap = (audit_removed.c.number == 2) & (audit_removed.c.correlation_id == "long")
    connection.execute(update(audit_removed).where(gap).values(last_position=5))
    row = dict(connection.execute(select(audit_removals).where(audit_removals.c.number == 2)).mappings().one())
    digest = StretchDigest()
    for stretch in list(stretches_of(connection, 2)):
        digest.add(stretch)
    forged = row | {"events": digest.events, "gone": digest.value()}
    connection.execute(update(audit_removals).where(audit_removals.c.number == 2).values(forged))


def sign_with_another_key(connection: Connection) -> None:
    key = _another_key()
    removal = removal_of(
        dict(connection.execute(select(audit_removals).where(audit_removals.c.number == 2)).mappings().one())
    )
    forged = removal.signed(key.sign(removal.statement))
    connection.execute(update(audit_removals).where(audit_removals.c.number == 2).values(columns_of(forged)))


def remove_without_a_stub(connection: Connection) -> None:
    connection.execute(delete(audit_events).where(E.recorded_at == JANUARY))


def change_what_follows(connection: Connection) -> None:
    connection.execute(update(audit_events).where(_at("long", 5)).values(event_outcome="failure"))


def _another_key() -> Any:
    import tempfile

    with tempfile.NamedTemporaryFile() as file:
        file.write(new_key()[0])
        file.flush()
        return read_signing_key("key", file.name)


STUB = ("removal", "", 0)
Change = Callable[[Connection], None]


@pytest.mark.parametrize(
    ("change", "chains"),
    [
        (delete_a_stub, {"old", "long", "tail"}),
        (delete_the_last_stub, {"long", "gap", "tail"}),
        (change_the_month, {"old", "long", "tail"}),
        (change_the_count, {"old", "long", "tail"}),
        (delete_a_stretch, {"old", "long", "tail"}),
        (stretch_over_one_more, {"long", "gap", "tail"}),
        (sign_with_another_key, {"long", "gap", "tail"}),
        (remove_without_a_stub, {"long", "recent"}),
        (change_what_follows, {"long"}),
    ],
    ids=lambda case: getattr(case, "__name__", ""),
)
def test_told_with_its_place(
    past: httpx.Client,
    engine: Engine,
    keys: PublicKeys,
    retain: Retain,
    tmp_path: Path,
    change: Change,
    chains: set[str],
) -> None:
    """What a stub does not say, or not with our signature, is missing: with the chain and the place."""
    retain()
    with engine.begin() as connection:
        change(connection)
    for found in (told(verified(past)), offline(exported(past, tmp_path / "export"), keys)[0]):
        assert {chain for _, chain, _ in found if chain} == chains
        stubs = change not in (delete_the_last_stub, remove_without_a_stub, change_what_follows)
        assert (STUB in found) is stubs, found
        assert _places(found) >= _expected(change), found
    for chain in chains:
        assert told(verified(past, correlation_id=chain)), chain


def _places(found: Told) -> set[tuple[str, int]]:
    return {(chain, position) for kind, chain, position in found if kind in ("missing", "altered")}


def _expected(change: Change) -> set[tuple[str, int]]:
    if change in (remove_without_a_stub, change_what_follows):
        return {("long", 5)}
    if change in (delete_the_last_stub, stretch_over_one_more, sign_with_another_key):
        return {("long", 3), ("gap", 1), ("tail", 2)}
    return {("old", 1), ("long", 1), ("tail", 1)}


def test_a_month_with_a_changed_event_is_not_removed(
    past: httpx.Client, engine: Engine, retain: Retain, caplog: pytest.LogCaptureFixture
) -> None:
    """A removal would cover it up; the other month goes."""
    with engine.begin() as connection:
        connection.execute(update(audit_events).where(_at("tail", 1)).values(event_outcome="failure"))
    registry = retain()
    assert counted(registry, "audit_months_refused_total") == 1
    assert months(engine) == ["2025-12"]
    assert told(verified(past)) == {("altered", "tail", 1)}
    assert any("tail event 1" in str(getattr(record, "fields", {})) for record in caplog.records)


@pytest.mark.parametrize("where", ["before", "after"])
def test_a_crash_leaves_everything_and_the_next_round_begins_anew(
    past: httpx.Client, engine: Engine, retain: Retain, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    before, drop = dump(engine), retention._drop

    def fail(connection: Connection, month: Month) -> None:
        if where == "after":
            drop(connection, month)
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(retention, "_drop", fail)
        with pytest.raises(RuntimeError, match="power cut"):
            retain()
    assert dump(engine) == before
    assert verified(past)["removals"] == []
    retain()
    assert months(engine) == ["2025-11", "2025-12"]
    assert verified(past)["faults"] == []


def test_a_verification_or_an_export_under_way_sees_no_gap(
    past: httpx.Client,
    service: Service,
    engine: Engine,
    keys: PublicKeys,
    retain: Retain,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PostgreSQL drops a partition for older snapshots, too: the removal waits for them, two seconds at most."""
    attempts: list[bool] = []

    def meanwhile() -> None:
        with suppress(DBAPIError):
            retain()
        attempts.append(True)

    def stubs_checked(connection: Connection, *arguments: Any) -> Any:
        connection.execute(select(audit_removals)).all()  # from here on it sees what there is now
        meanwhile()
        return (yield from check_removals(connection, *arguments))

    def read(connection: Connection, *conditions: Any) -> Any:
        meanwhile()
        yield from events_by_chain(connection, *conditions)

    with monkeypatch.context() as patch:
        patch.setattr("datastorage.exporting.events_by_chain", read)
        assert offline(exported(past, tmp_path / "export"), keys)[0] == set()
        patch.setattr("datastorage.verification.check_removals", stubs_checked)
        verification = Verification(engine, service.seals).run(None, None, Report())
        assert [fault for fault in verification if fault] == []
    assert attempts == [True, True]
    retain()
    assert months(engine) == ["2025-11", "2025-12"]
    assert verified(past)["faults"] == []


def test_a_hold_that_comes_meanwhile_is_seen(
    past: httpx.Client, engine: Engine, retain: Retain, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine.connect() as connection:
        if not divided(connection):
            return  # SQLite has one writer: nothing comes meanwhile
    asked = keep_holds

    def hold_first(connection: Connection) -> None:
        Holds(engine, StoppedClock()).set(HoldAsk("tail", "matter 12", None), "auditor")
        asked(connection)

    monkeypatch.setattr(retention, "keep_holds", hold_first)
    retain()
    assert months(engine) == []
    assert stored(engine)["tail"] == [1, 2, 3]
    assert verified(past)["faults"] == []


def test_several_services_remove_a_month_once(past: httpx.Client, engine: Engine, retain: Retain) -> None:
    barrier = threading.Barrier(3)

    def run() -> None:
        barrier.wait()
        with suppress(DBAPIError):  # somebody else was at it; the next round comes
            retain()

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    retain()
    assert sorted(months(engine)) == ["2025-11", "2025-12"]
    assert stored(engine)["audit-retention"] == [1, 2]
    assert verified(past)["faults"] == []


def test_without_a_key_or_a_time_nothing_is_removed(service: Service, engine: Engine) -> None:
    with pytest.raises(Misconfigured, match=r"^retention.keep=30d: allowed only with checkpoint.key_file"):
        Retention(engine, Seals(), StoppedClock(), Metrics(CollectorRegistry()), KEEP)
    assert not FOR_EVER.is_over(OCTOBER, NOW)
