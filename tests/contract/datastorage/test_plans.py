"""Each documented filter finds by an index: no query reads all events for a page, nor to count what matches."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from datastorage import schema
from datastorage.query import FILTERS, Cursor, Query
from datastorage.repository import count_of, page_of
from datastorage.settings import Driver
from tests.contract.datastorage.conftest import engine_for
from tests.many_events import fill, plan_of

ROWS = 20_000
DAY_AGO = datetime.now(UTC) - timedelta(days=1)
MONTHS_AGO = datetime.now(UTC) - timedelta(days=85)
WANTED = {
    "event_type": Query(filters=(("event_type", "workflow.3"),)),
    "event_category": Query(filters=(("event_category", "gateway"),)),
    "event_outcome": Query(filters=(("event_outcome", "failure"),)),
    "severity": Query(filters=(("severity", "critical"),)),
    "correlation_id": Query(filters=(("correlation_id", "rr-77"),)),
    "since": Query(since=DAY_AGO),
    "until": Query(until=MONTHS_AGO),
}


@pytest.fixture(scope="module")
def filled(database: Callable[[], str]) -> Iterator[Engine]:
    """Return a database with enough events for an index to be worth it."""
    engine = engine_for(database())
    schema.upgrade(engine)
    fill(engine, ROWS)
    yield engine
    engine.dispose()


def assert_sought(engine: Engine, lines: list[str], column: str) -> None:
    """Check that every table is entered by an index that begins with the column."""
    plan = "\n".join(lines)
    if engine.dialect.name == Driver.SQLITE:
        assert lines, plan
        assert all(re.search(rf"^SEARCH audit_events USING .*INDEX \w+ \({column}[=<>]", line) for line in lines), plan
        return
    assert "Seq Scan" not in plan, plan
    assert re.search(rf"Index Cond: \(.*\b{column}\b", plan), plan
    assert "Filter:" not in plan, plan


def test_no_filter_is_forgotten() -> None:
    assert WANTED.keys() == {*FILTERS, "since", "until"}


@pytest.mark.parametrize("name", WANTED)
def test_a_filter_uses_an_index(filled: Engine, name: str) -> None:
    column = "event_timestamp" if name in ("since", "until") else name
    for statement in (page_of(WANTED[name]), count_of(WANTED[name])):
        assert_sought(filled, plan_of(filled, statement), column)


@pytest.mark.parametrize("query", [Query(), Query(cursor=Cursor(DAY_AGO, 10**9))], ids=["newest", "cursor"])
def test_a_page_is_read_off_an_index_in_its_order(filled: Engine, query: Query) -> None:
    plan = "\n".join(plan_of(filled, page_of(query)))
    assert "Seq Scan" not in plan, plan
    assert re.search(r"USING INDEX \w+event_timestamp|Index Scan Backward using \w+event_timestamp", plan), plan
    assert "TEMP B-TREE" not in plan, plan
