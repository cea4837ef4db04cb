"""Measure events per second of batch inserts, over HTTP and in the repository alone, against a plain INSERT.

`python -m tests.bench.datastorage_insert [--events 20000] [--batch 500] [--senders 2]` prints one line a measurement.
PostgreSQL runs with fsync on. The plain INSERT writes the same rows in the same transactions without checks, hashes
and ids: it is the limit that the database sets.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psutil
from sqlalchemy import Engine, insert

from datastorage import schema
from datastorage.bulk import add_events, claim_ids, row
from datastorage.chaining import Linked
from datastorage.clock import Clock
from datastorage.engine import open_engine, writing
from datastorage.repository import Repository
from datastorage.settings import parse_settings
from models.audit_chain import Head
from models.audit_request import AuditRecord, read_event
from models.tables import audit_events
from tests.postgres_plugin import PostgresServer, discard, new_server


def main() -> None:
    """Measure on both databases."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--senders", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        measure("sqlite", [f"sqlite:///{directory}/{n}.db" for n in range(4)], options)
    server: PostgresServer = new_server(durable=True)
    try:
        server.start()
        measure("postgresql", [server.create_database(f"bench{n}") for n in range(4)], options)
    finally:
        discard(server)


def measure(name: str, urls: list[str], options: argparse.Namespace) -> None:
    """Run the four measurements, each on an empty database."""
    for url in urls:
        engine = engine_of(url)
        schema.upgrade(engine)
        engine.dispose()
    plain, plain_cpu = in_process(urls[0], options, plain_insert)
    stored, stored_cpu = in_process(urls[1], options, lambda engine: Repository(engine).store)
    loose, _ = in_process(urls[3], options, unchained)
    over_http, seconds, service_cpu = through_http(urls[2], options)
    cpu = {"plain INSERT": plain_cpu, "repository": stored_cpu, "service": service_cpu}
    seconds.sort()
    told = f"repository {stored:,.0f}/s, without chains {loose:,.0f}/s; HTTP {over_http:,.0f}/s"
    print(f"{name}: plain INSERT {plain:,.0f}/s; {told}")
    median, late = statistics.median(seconds) * 1000, seconds[len(seconds) * 99 // 100] * 1000
    print(f"  HTTP, {options.senders} senders, a batch of {options.batch}: p50 {median:.0f} ms, p99 {late:.0f} ms")
    told = ", ".join(f"{who} {used / options.events * 1e6:.0f} us" for who, used in cpu.items())
    print(f"  CPU of an event without the database's server: {told}")


Store = Callable[[list[AuditRecord], datetime], object]


def in_process(url: str, options: argparse.Namespace, make: Callable[[Engine], Store]) -> tuple[float, float]:
    """Return events per second of one thread, and the seconds of its CPU; checking is done before the clock starts."""
    now = datetime.now(UTC)
    clock = Clock()
    records = [
        [read_event(event, now=now, new_id=clock.new_id) for event in batch]
        for batch in batches(options.events, options.batch)
    ]
    engine = engine_of(url)
    store = make(engine)
    used, start = time.process_time(), time.perf_counter()
    for batch in records:
        store(batch, now)
    elapsed, used = time.perf_counter() - start, time.process_time() - used
    engine.dispose()
    return float(options.events / elapsed), used


def unchained(engine: Engine) -> Store:
    """Return a store that does what the repository does, but for the chains."""

    def store(records: list[AuditRecord], now: datetime) -> None:
        with writing(engine).begin() as connection:
            claim_ids(connection, {record.event_id: record.content_hash for record in records})
            add_events(connection, [Linked(record, Head()) for record in records], now)

    return store


def plain_insert(engine: Engine) -> Store:
    """Return a store that only inserts rows."""

    def store(records: list[AuditRecord], now: datetime) -> None:
        with writing(engine).begin() as connection:
            rows = [row(Linked(record, Head()), now) for record in records]
            if engine.dialect.name == "sqlite":
                connection.execute(insert(audit_events), rows)
            else:
                values = [value for fields in rows for value in fields.values()]
                connection.exec_driver_sql(_multi_row(tuple(rows[0]), len(rows)), tuple(values))

    return store


@cache
def _multi_row(names: tuple[str, ...], rows: int) -> str:
    """Write one INSERT with many rows of values."""
    values = ", ".join([f"({', '.join(['%s'] * len(names))})"] * rows)
    return f"INSERT INTO audit_events ({', '.join(names)}) VALUES {values}"


def through_http(url: str, options: argparse.Namespace) -> tuple[float, list[float], float]:
    """Return events per second through a service process, the seconds of each batch, and those of the service's CPU."""
    command = [sys.executable, "-m", "datastorage", "serve", "--port", "0"]
    environ = {"DATASTORAGE_DATABASE_URL": url, "DATASTORAGE_SERVER_ALLOW_UNAUTHENTICATED": "true"}
    process = subprocess.Popen(command, env=environ, cwd=Path(__file__).parents[2], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    base = next(json.loads(line)["url"] for line in process.stderr if '"listening"' in line)
    threading.Thread(target=process.stderr.read, daemon=True).start()
    bodies = [json.dumps(batch).encode() for batch in batches(options.events, options.batch)]
    seconds: list[float] = []

    def send(mine: list[bytes]) -> None:
        with httpx.Client(timeout=60) as client:
            for body in mine:
                began = time.perf_counter()
                client.post(f"{base}/api/v1/audit/events/batch", content=body).raise_for_status()
                seconds.append(time.perf_counter() - began)

    used = _cpu(process.pid)
    senders = [threading.Thread(target=send, args=(bodies[n :: options.senders],)) for n in range(options.senders)]
    start = time.perf_counter()
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    elapsed = time.perf_counter() - start
    used = _cpu(process.pid) - used
    process.terminate()
    process.wait()
    return float(options.events / elapsed), seconds, used


def _cpu(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def engine_of(url: str) -> Engine:
    """Open a database."""
    return open_engine(parse_settings({"database": {"url": url}}, {}, {}))


def batches(events: int, size: int) -> Iterator[list[dict[str, Any]]]:
    """Make events like the executor's."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for first in range(0, events, size):
        yield [event(number, now) for number in range(first, min(first + size, events))]


def event(number: int, now: str) -> dict[str, Any]:
    """Make one event of about 900 bytes."""
    name = f"restart-api-{number // 4:06d}"
    return {
        # Spread like the executor's UUIDv5: neighbours in a batch are not neighbours in the index.
        "event_id": str(UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 & (1 << 128) - 1)),
        "version": "1.0",
        "event_type": ("workflow.started", "workflow.completed")[number % 2],
        "event_timestamp": now,
        "event_category": "workflow",
        "event_action": ("started", "completed")[number % 2],
        "event_outcome": "success",
        "actor_type": "service",
        "actor_id": "workflowexecution-controller",
        "resource_type": "WorkflowExecution",
        "resource_id": name,
        "namespace": "payments",
        "correlation_id": f"rr-{number // 4}",
        "event_data": {
            "workflow_id": "restart-deployment",
            "workflow_version": "1.4.2",
            "target_resource": f"payments/deployment/api-{number % 20}",
            "phase": "Running",
            "container_image": "registry.example.com/workflows/restart-deployment:1.4.2",
            "execution_name": name,
            "attempt": 1,
            "pipelinerun_name": "wfe-0123456789abcdef",
            "started_at": now,
            "completed_at": now,
            "duration": "1m30s",
        },
    }


if __name__ == "__main__":
    main()
