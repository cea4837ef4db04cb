"""DataStorage over HTTP on a real socket, once on SQLite and once on PostgreSQL."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import UUID

import httpx
import pytest
import uvicorn
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, delete

from datastorage import schema
from datastorage.app import create_app
from datastorage.callers import Callers
from datastorage.checkpoints import Seals
from datastorage.clock import Clock
from datastorage.engine import open_engine
from datastorage.keys import new_key, read_signing_key
from datastorage.settings import parse_settings
from datastorage.upkeep import Upkeep
from models.tables import metadata
from tests.postgres_plugin import PostgresServer
from tests.waiting import until

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
_numbers = count(1)
_LABELS = {"service": "datastorage"}


_UNSEALED = Seals()


@dataclass(frozen=True, slots=True)
class StoppedClock(Clock):
    """A clock that stands at NOW."""

    def now(self) -> datetime:
        return NOW


class Service:
    """A running service, its engine and its metrics."""

    def __init__(self, engine: Engine, seals: Seals = _UNSEALED, callers: Callers | None = None) -> None:
        self.engine = engine
        self.seals = seals
        self.registry = CollectorRegistry()
        self._before: dict[str, float] = {}
        app = create_app(engine, 4, self.registry, StoppedClock(), seals, callers)
        self.upkeep: Upkeep = app.state.upkeep
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> Service:
        self._thread.start()
        until(lambda: self._server.started, 60, "the service listens", every=0.005)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def refusals(self) -> dict[str, float]:
        """Return how many requests were refused, by reason, without those that are none."""
        family = next(found for found in self.registry.collect() if found.name == "datastorage_auth_refused")
        counted = [each for each in family.samples if each.name.endswith("_total") and each.value]
        return {each.labels["reason"]: each.value for each in counted}

    def metric(self, name: str) -> float:
        """Return by how much a counter of the contract has grown in this test."""
        return (self.registry.get_sample_value(name, _LABELS) or 0.0) - self._before.get(name, 0.0)

    def forget_metrics(self) -> None:
        """Count from here."""
        samples = (sample for family in self.registry.collect() for sample in family.samples)
        self._before = {sample.name: sample.value for sample in samples if sample.labels == _LABELS}


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    """Return a maker of empty databases of one kind; the URL is what it gives."""
    if request.param == "sqlite":
        return lambda: f"sqlite:///{tmp_path_factory.mktemp('datastorage') / 'audit.db'}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return lambda: server.create_database(f"datastorage_{next(_numbers)}")


def engine_for(url: str) -> Engine:
    """Open a database with few connections; its limits are for a machine that does much else."""
    database = {"url": url, "pool_size": 4, "lock_timeout": "20s", "statement_timeout": "25s"}
    return open_engine(parse_settings({"database": database}, {}, {}))


@pytest.fixture
def empty_engine(database: Callable[[], str]) -> Iterator[Engine]:
    """Return an engine on an empty database of the test's own."""
    engine = engine_for(database())
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def running(database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Run the service with a key on a migrated database, for all tests of a module."""
    directory = tmp_path_factory.mktemp("keys")
    (directory / "key").write_bytes(new_key()[0])
    seals = Seals(read_signing_key("key", str(directory / "key")), anchor=directory / "anchor")
    engine = engine_for(database())
    schema.upgrade(engine)
    with Service(engine, seals) as service:
        assert service.upkeep.once()
        yield service
    engine.dispose()


@pytest.fixture
def service(running: Service) -> Service:
    """Return the service with nothing stored."""
    with running.engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(delete(table))
    if running.seals.anchor:
        running.seals.anchor.unlink(missing_ok=True)
    running.forget_metrics()
    return running


@pytest.fixture
def engine(service: Service) -> Engine:
    """Return the engine of the service."""
    return service.engine


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    """Return a client whose base is the audit API."""
    with httpx.Client(base_url=f"{service.url}/api/v1/audit", timeout=30) as http:
        yield http


def await_requests_logged(caplog: pytest.LogCaptureFixture, count: int) -> None:
    """Wait until the service has logged so many requests: it does when their answers have gone already."""

    def logged() -> bool:
        return sum(record.name == "datastorage.request" for record in list(caplog.records)) >= count

    until(logged, 30, f"{count} requests are logged")


Event = Callable[..., dict[str, Any]]


@pytest.fixture
def event() -> Event:
    """Return a maker of valid events, each with an id of its own."""

    def make(number: int | None = None, **changes: Any) -> dict[str, Any]:
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
        if number is not None:
            fields["event_id"] = str(UUID(int=number))
        return fields | changes

    return make
