"""DataStorage, its database or its disk go away in the middle of batches, or for long: all is stored once, in order."""

from __future__ import annotations

import random
import sqlite3
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
import redis

from tests.faults.audit import full_disk
from tests.faults.audit.conftest import BOTH
from tests.faults.audit.proxy import Act, Fault, Stage
from tests.faults.audit.race import struck
from tests.faults.audit.stand import Service, Stand, retrying, stand
from tests.postgres_plugin import PostgresServer
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PATIENCE = {"DATASTORAGE_DATABASE_LOCK_TIMEOUT": "50s", "DATASTORAGE_DATABASE_STATEMENT_TIMEOUT": "55s"}
TICK = timedelta(seconds=5)


@pytest.fixture(scope="module", params=BOTH)
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, client: redis.Redis
) -> Iterator[Stand]:
    directory = tmp_path_factory.mktemp("losses")
    url = f"sqlite:///{directory}/audit.db"
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.create_database("losses")
    service = Service(directory, url, settings=PATIENCE)
    service.prepare()
    with stand(service, client) as made:
        yield made


@contextmanager
def stuck(world: Stand) -> Iterator[None]:
    """Keep DataStorage in the middle of the next batch: of its transaction on PostgreSQL, before it on SQLite."""
    url = world.service.url
    forwarded = world.proxy.forwarded
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=60, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with _flushing(world):
                until(lambda: world.proxy.forwarded > forwarded, 30, "DataStorage has the batch")
                yield
                other.execute("ROLLBACK")
        return
    with closing(psycopg.connect(url)) as other, closing(psycopg.connect(url, autocommit=True)) as looking:
        other.execute("LOCK TABLE audit_events")
        waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'datastorage'"
        with _flushing(world):
            until(lambda: looking.execute(waits).fetchone(), 30, "the batch waits in its transaction")
            yield
            other.close()


@contextmanager
def _flushing(world: Stand) -> Iterator[None]:
    flusher = threading.Thread(target=world.turn)
    flusher.start()
    try:
        yield
    finally:
        flusher.join(90)
    assert not flusher.is_alive()


def test_service_killed_in_the_middle_of_a_batch(world: Stand) -> None:
    world.emit("service", 50)
    with stuck(world):
        world.service.kill()
    assert (world.outbox.size(), world.outbox.trouble().failures) == (50, 1)
    world.proxy.upstream = world.service.start()
    world.emit("service", 50)
    world.drain()
    world.check()


def test_service_killed_again_and_again(world: Stand) -> None:
    struck(world, "again", [8, 8], world.restart)


def test_database_killed_in_the_middle_of_a_batch(request: pytest.FixtureRequest, world: Stand) -> None:
    """The service goes on without a restart."""
    if world.service.url.startswith("sqlite"):
        return  # the service is the database: see above
    server: PostgresServer = request.getfixturevalue("postgres")
    process = world.service.process
    world.emit("database", 50)
    with stuck(world):
        server.kill()
    assert world.proxy.outcomes[-1][1] == 503
    assert world.outbox.flush_wait() >= timedelta(seconds=4)  # what DataStorage asked for
    world.turn()
    assert (world.outbox.size(), world.outbox.trouble().failures) == (50, 2)
    server.start()
    world.emit("database", 50)
    world.drain()
    world.check()
    assert world.service.process is process


def test_an_answer_that_comes_slowly_is_waited_for(world: Stand) -> None:
    world.emit("slow", 1)
    world.proxy.then(Fault(Stage.ANSWER, Act.DRIP))
    world.turn()
    assert (world.outbox.size(), world.outbox.trouble().failures) == (0, 0)
    world.check()


def test_away_for_half_an_hour_with_ten_thousand_events(world: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the clock of the outbox; a flush is asked for every five seconds, as beat does it."""
    if world.service.url.startswith("sqlite"):
        return  # once is enough: the database is away with its service
    rng = random.Random(30)
    monkeypatch.setattr("tasks.auditing.draw_jitter", lambda: rng.uniform(-1, 1))
    world.service.kill()
    tries = len(world.proxy.outcomes)
    for tick in range(360):
        world.emit(f"away-{tick % 40}", 28)
        world.flush_now()
        world.clock.advance(TICK)
    tries = len(world.proxy.outcomes) - tries
    assert world.outbox.size() == 10_080
    # Full jitter up to a minute: about two in a minute, never one in every tick.
    assert 30 < tries < 120, tries
    backlog = sum(len(item.body) for item in world.outbox.take(10_080))
    world.proxy.upstream = world.service.start()
    peak = _peak(world.drain)
    print(f"\n{tries} tries in half an hour; {backlog / 2**20:.1f} MiB waited, the flusher took {peak / 2**20:.1f} MiB")
    assert peak < backlog / 2
    world.check()


def _peak(work: Callable[[], None]) -> int:
    """Return by how many bytes Python's memory grew at most."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def test_a_full_disk_under_sqlite(tmp_path: Path, client: redis.Redis) -> None:
    pages = tmp_path / "pages"
    pages.write_text("1000000")
    program = (str(full_disk.__file__), str(pages))
    service = Service(tmp_path, f"sqlite:///{tmp_path}/audit.db", program=program)
    service.prepare()
    with stand(service, client) as world:
        world.emit("disk", 10)
        world.drain()
        _replace(pages, "1")  # SQLite takes as the limit what is there already
        world.emit("disk", 100, size=4000)
        for _ in range(3):
            world.turn()
        assert [code for _, code in world.proxy.outcomes] == [201, 500, 500, 500]
        assert service.process is not None
        assert "SQLITE_FULL" in service.process.logged("database")["error"]
        assert (world.outbox.size(), world.outbox.quarantined(), world.outbox.trouble().failures) == (100, 0, 3)
        assert world.stored("disk") == set(world.emitted["disk"][:10])
        _replace(pages, "1000000")
        world.drain()
        world.check()


def _replace(file: Path, text: str) -> None:
    """Write a file that the service may be reading."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


@pytest.mark.postgres
def test_a_full_disk_under_postgresql(tmp_path: Path, client: redis.Redis, postgres: PostgresServer) -> None:
    """No file may become larger than the limit: PostgreSQL writes a part of a page and says DiskFull."""
    server = postgres
    server.stop()
    server.start(file_size=16 * 2**20 + 4096)  # a segment of the write-ahead log has 16 MiB
    try:
        service = Service(tmp_path, server.create_database("disk"))
        service.prepare()
        with stand(service, client) as world:
            world.emit("disk", 10)
            world.drain()
            rng = random.Random(1)
            for number in range(11, 91):
                # Random, so that it cannot be compressed.
                filling = {"attempt": number, "filling": rng.randbytes(120_000).hex()}
                world.append("disk", [retrying("disk", number, event_data=filling)])
            for _ in range(3):
                world.turn()
            assert service.process is not None
            # PostgreSQL 15 says DiskFull; later ones reserve room in another way, and say that this failed.
            assert service.process.logged("database")["error"].split()[0] in ("DiskFull", "InternalError_")
            assert world.proxy.outcomes[-1][1] == 500
            assert world.outbox.trouble().failures > 0
            assert (world.outbox.quarantined(), world.outbox.size() > 0) == (0, True)
            server.stop()
            server.start()
            world.drain()
            world.check()
    finally:
        server.stop()
        server.start()
