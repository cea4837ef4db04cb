"""Measure queries over very many events: p50 and p99 of one page with its total, by each filter, and the plan.

`python -m tests.bench.datastorage_query [--events 1000000] [--times 100] [--plans]`. What a filter asks for is rare
(1 of 40, 1 of 20) or is what nearly every event says: the total has to count all of those.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from datastorage import schema
from datastorage.engine import open_engine
from datastorage.query import Cursor, Query
from datastorage.repository import Repository, count_of, page_of
from datastorage.settings import parse_settings
from tests.many_events import DAYS, fill, plan_of
from tests.postgres_plugin import discard, new_server


def main() -> None:
    """Measure on both databases."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--plans", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        measure("sqlite", f"sqlite:///{directory}/audit.db", options)
    server = new_server(durable=True)
    try:
        server.start()
        measure("postgresql", server.create_database("bench"), options)
    finally:
        discard(server)


def measure(name: str, url: str, options: argparse.Namespace) -> None:
    """Fill one database and ask it."""
    limits = {"statement_timeout": "10m", "lock_timeout": "10m"}
    engine = open_engine(parse_settings({"database": {"url": url, **limits}}, {}, {}))
    schema.upgrade(engine)
    began = time.perf_counter()
    fill(engine, options.events)
    print(f"{name}: {options.events:,} events made in {time.perf_counter() - began:.0f} s", flush=True)
    for asked, query in queries(options.events):
        tell(engine, asked, query, options)
    engine.dispose()


def tell(engine: Engine, asked: str, query: Query, options: argparse.Namespace) -> None:
    """Ask one thing again and again, and print how long it took."""
    repository = Repository(engine)
    total = repository.find(query).total
    seconds = []
    for _ in range(options.times):
        began = time.perf_counter()
        repository.find(query)
        seconds.append(time.perf_counter() - began)
    seconds.sort()
    median, late = statistics.median(seconds) * 1000, seconds[len(seconds) * 99 // 100] * 1000
    print(f"  {asked:32} {total:>9,} match: p50 {median:8.1f} ms, p99 {late:8.1f} ms", flush=True)
    if options.plans:
        for statement in (page_of(query), count_of(query)):
            print("\n".join(f"      {line}" for line in plan_of(engine, statement)), flush=True)


def queries(events: int) -> Iterator[tuple[str, Query]]:
    """Return what is asked, each with its name."""
    now = datetime.now(UTC)
    rare = {
        "event_type": "workflow.3",
        "event_category": "gateway",
        "event_outcome": "failure",
        "severity": "critical",
        "correlation_id": f"rr-{events // 8}",
    }
    for name, value in rare.items():
        yield f"{name}={value}", Query(filters=((name, value),))
    for name, value in (("event_category", "workflow"), ("event_outcome", "success"), ("severity", "info")):
        yield f"{name}={value}", Query(filters=((name, value),))
    yield "since=24h", Query(since=now - timedelta(hours=24))
    yield f"until={DAYS - 1}d", Query(until=now - timedelta(days=DAYS - 1))
    both = (("event_outcome", "failure"),)
    yield "event_outcome=failure, since=7d", Query(filters=both, since=now - timedelta(days=7))
    yield "nothing", Query()
    middle = now - timedelta(days=DAYS / 2)
    yield "severity=critical, cursor", Query(filters=(("severity", "critical"),), cursor=Cursor(middle, 2**40))


if __name__ == "__main__":
    main()
