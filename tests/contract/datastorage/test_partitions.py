"""One partition a month: made ahead, made at once where there is none, by many at a time, and found by the queries."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import httpx
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, select, text

from datastorage import schema
from datastorage.checkpoints import Seals
from datastorage.clock import Clock
from datastorage.engine import writing
from datastorage.metrics import Metrics
from datastorage.partitions import MONTHS_AHEAD, Partitions, make_partitions, months_of
from datastorage.repository import Repository
from datastorage.verification import Report, Verification
from models.audit_months import Month
from models.audit_request import AuditRecord, read_event
from models.tables import audit_events
from tests.contract.datastorage.conftest import NOW, Event, Service, engine_for
from tests.postgres_plugin import PostgresServer

_numbers = count(1)
MARCH = Month(2026, 3)
Records = Callable[..., list[AuditRecord]]


@pytest.fixture
def engine(postgres_server: PostgresServer) -> Iterator[Engine]:
    """Return an engine on a PostgreSQL database at the newest revision, whose months are those of the real clock."""
    engine = engine_for(postgres_server.create_database(f"partitions_{next(_numbers)}"))
    schema.upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def records(event: Event) -> Records:
    """Return a maker of valid events stored at an instant, in three chains."""

    def make(first: int, count: int, at: datetime = NOW) -> list[AuditRecord]:
        stamp = (at - timedelta(minutes=1)).isoformat()
        events = [event(n, correlation_id=f"rr-{n % 3}", event_timestamp=stamp) for n in range(first, first + count)]
        return [read_event(document, now=at, new_id=lambda: UUID(int=0)) for document in events]

    return make


@dataclass(frozen=True, slots=True)
class At(Clock):
    """A clock that stands at an instant."""

    instant: datetime = NOW

    def now(self) -> datetime:
        return self.instant


def there(engine: Engine) -> set[Month]:
    with engine.connect() as connection:
        return months_of(connection)


def homes(engine: Engine) -> dict[str, int]:
    """Return how many events stand in which table."""
    counted = text("SELECT CAST(tableoid::regclass AS text), count(*) FROM audit_events GROUP BY 1")
    with engine.connect() as connection:
        return {str(row[0]): int(row[1]) for row in connection.execute(counted)}


def faults(engine: Engine) -> list[Any]:
    return [fault for fault in Verification(engine, Seals()).run(None, None, Report()) if fault]


@pytest.mark.postgres
def test_made_ahead_for_ever(engine: Engine) -> None:
    """Whatever the year, the present month and those ahead are there, over the end of a year too."""
    at = datetime(2031, 11, 30, 23, 59, 59, tzinfo=UTC)
    registry = CollectorRegistry()
    for _ in range(2):
        Partitions(engine, At(instant=at), Metrics(registry)).make_ahead()
        expected = {Month(2031, 11).after(months) for months in range(MONTHS_AHEAD + 1)}
        assert expected <= there(engine)
        assert registry.get_sample_value("audit_partitions_ahead", {"service": "datastorage"}) == MONTHS_AHEAD
        registry = CollectorRegistry()
        at = at.replace(year=2057)


@pytest.mark.postgres
def test_several_services_make_them_at_once(engine: Engine) -> None:
    barrier = threading.Barrier(4)
    made: list[set[Month] | None] = []

    def make() -> None:
        barrier.wait()
        made.append(make_partitions(engine, [MARCH.after(n) for n in range(6)]))

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [there(engine)] * 4


@pytest.mark.postgres
def test_making_them_waits_for_no_reader_and_holds_up_no_writer(engine: Engine, records: Records) -> None:
    """A long export, a writer in mid-batch and the making of a month go on beside each other."""
    make_partitions(engine, [MARCH])
    repository = Repository(engine)
    with engine.connect() as reader, writing(engine).begin() as writer:
        reader.execute(select(audit_events)).all()
        writer.execute(text("LOCK TABLE audit_events IN ROW EXCLUSIVE MODE"))
        make_partitions(engine, [Month(2040, 1)])
        assert len(repository.store(records(1, 3), NOW)) == 3
    assert Month(2040, 1) in there(engine)


@pytest.mark.postgres
@pytest.mark.parametrize("senders", [1, 4])
def test_an_event_of_a_month_without_partition_finds_its_place(engine: Engine, event: Event, senders: int) -> None:
    """Nothing made it ahead: the event makes it, also when many come at once."""
    with Service(engine) as service:
        assert MARCH not in there(engine)
        ready = httpx.get(f"{service.url}/health/ready")
        assert (ready.status_code, ready.json()["partitions_ahead"]) == (503, -1)
        statuses: list[int] = []
        barrier = threading.Barrier(senders)

        def send(number: int) -> None:
            with httpx.Client(base_url=f"{service.url}/api/v1/audit", timeout=60) as http:
                barrier.wait()
                statuses.append(http.post("/events/batch", json=[event(number), event(number + 100)]).status_code)

        threads = [threading.Thread(target=send, args=(number,)) for number in range(1, senders + 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert statuses == [201] * senders
        assert homes(engine) == {"audit_events_2026_03": 2 * senders}
        ready = httpx.get(f"{service.url}/health/ready")
        assert (ready.status_code, ready.json()["partitions_ahead"]) == (200, 0)
    assert faults(engine) == []


@pytest.mark.postgres
def test_chains_and_ids_go_on_over_the_months(engine: Engine, records: Records) -> None:
    """An id stays unique over all months, a chain follows its events wherever they stand."""
    repository = Repository(engine)
    months = [NOW + timedelta(days=31 * number) for number in range(4)]
    for number, at in enumerate(months):
        assert len(repository.store(records(1 + 10 * number, 10, at), at)) == 10
    assert repository.store(records(1, 10, months[0]), months[3]) == frozenset()
    assert sorted(homes(engine).values()) == [10, 10, 10, 10]
    assert faults(engine) == []


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ("correlation_id = 'rr-1'", "correlation_id"),
        ("event_type = 'workflow.started'", "event_type"),
        ("event_timestamp >= '2026-03-01T12:00Z'", "event_timestamp"),
        ("true", "event_timestamp"),
    ],
)
def test_a_page_is_read_off_an_index_of_each_month(engine: Engine, records: Records, wanted: str, index: str) -> None:
    """Merged from the ends of the indexes: no month is sorted, none is read through."""
    repository = Repository(engine)
    for number in range(3):
        at = NOW + timedelta(days=31 * number)
        repository.store(records(1 + 500 * number, 500, at), at)
    query = f"SELECT * FROM audit_events WHERE {wanted} ORDER BY event_timestamp DESC, sequence DESC LIMIT 50"
    with engine.begin() as connection:
        connection.execute(text("ANALYZE audit_events"))
        connection.execute(text("SET LOCAL enable_seqscan = off"))  # so few rows are a page or two
        plan = "\n".join(connection.execute(text(f"EXPLAIN {query}")).scalars())
    assert "Seq Scan" not in plan
    assert plan.count("Index Scan Backward") >= 3
    assert f"{index}_" in plan
    assert "Merge Append" in plan
    assert " Sort  " not in plan
