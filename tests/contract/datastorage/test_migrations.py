"""Every migration there is, with data in the database: up and down, one at a time, and what was there stays.

Nothing here names a revision: who adds one has it tested.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from alembic.script import ScriptDirectory
from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, Engine, MetaData, Table, func, insert, inspect, select

from datastorage import schema
from datastorage.checkpoints import Checkpoints, Seals
from datastorage.keys import new_key, read_signing_key
from datastorage.metrics import Metrics
from datastorage.repository import Repository
from datastorage.verification import Report, Verification
from models.audit_fields import FIELDS
from models.audit_request import AuditRecord, read_event
from models.tables import audit_event_ids, audit_events
from tests.contract.datastorage.conftest import NOW, StoppedClock

EVENTS = 60
_FIELDS = [field.name for field in FIELDS]
_BOOKKEEPING = "alembic_version"
Rows = dict[str, list[dict[str, Any]]]
Shape = dict[str, tuple[frozenset[tuple[str, bool]], frozenset[str]]]


def revisions() -> list[str]:
    """Return every revision, the oldest first."""
    return [script.revision for script in ScriptDirectory.from_config(schema._config()).walk_revisions()][::-1]


def record(number: int, at: datetime) -> AuditRecord:
    document = {
        "event_id": str(UUID(int=number + 1)),
        "version": "1.0",
        "event_type": ("workflow.started", "workflow.completed")[number % 2],
        "event_timestamp": at.isoformat(),
        "event_category": "workflow",
        "event_action": "started",
        "event_outcome": "success",
        "correlation_id": f"rr-{number % 7}",
        "event_data": {"attempt": number, "ünï": [1e2, None]},
        "namespace": "payments" if number % 3 else None,
        "duration_ms": number * 10**15,
        "parent_event_id": str(UUID(int=number)) if number % 5 else None,
    }
    return read_event(document, now=at, new_id=StoppedClock().new_id)


def put_events(engine: Engine) -> None:
    """Put events of five months into a database of the first revision, as its release would have."""
    events = [audit_events.c[name] for name in (*_FIELDS, "recorded_at")]
    oldest = Table(audit_events.name, MetaData(), *(column._copy() for column in events))
    with engine.begin() as connection:
        for number in range(EVENTS):
            at = datetime(2025, 11, 3, tzinfo=UTC) + timedelta(days=2 * number, microseconds=number)
            one = record(number, at)
            ids = {"event_id": one.event_id, "content_hash": one.content_hash}
            connection.execute(insert(audit_event_ids), ids)
            fields = {name: getattr(one, name) for name in _FIELDS}
            connection.execute(insert(oldest), fields | {"recorded_at": at + timedelta(seconds=1)})


def rows_of(engine: Engine) -> Rows:
    """Return everything that is stored, as the driver gives it."""
    found: Rows = {}
    with engine.connect() as connection:
        for table in tables_of(connection):
            rows = [dict(row) for row in connection.execute(select(table)).mappings()]
            found[table.name] = [{name: _plain(value) for name, value in row.items()} for row in rows]
    return found


def tables_of(connection: Connection) -> list[Table]:
    reflected = MetaData()
    reflected.reflect(connection)
    return [table for name, table in reflected.tables.items() if name != _BOOKKEEPING]


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


def shape_of(engine: Engine) -> Shape:
    """Return columns and indexes of every table."""
    look = inspect(engine)
    return {
        table: (
            frozenset((column["name"], column["nullable"]) for column in look.get_columns(table)),
            frozenset(str(index["name"]) for index in look.get_indexes(table)),
        )
        for table in look.get_table_names()
    }


def assert_kept(before: Rows, after: Rows) -> None:
    """Compare what both revisions have room for."""
    assert before.keys() & after.keys() >= {audit_events.name, audit_event_ids.name}
    for table in before.keys() & after.keys():
        if not before[table]:
            continue
        assert len(after[table]) == len(before[table]), table
        both = sorted(before[table][0].keys() & after[table][0].keys())
        was, now = ([[row[name] for name in both] for row in rows[table]] for rows in (before, after))
        assert sorted(was, key=repr) == sorted(now, key=repr), table


def faults_of(engine: Engine, seals: Seals) -> tuple[list[str], Report]:
    report = Report()
    faults = Verification(engine, seals).run(None, None, report)
    return [fault.detail for fault in faults if fault], report


def step(engine: Engine, revision: str, *, down: bool = False) -> None:
    assert (schema.downgrade if down else schema.upgrade)(engine, revision) == revision


def test_data_stays_on_every_way_up(empty_engine: Engine) -> None:
    """From the first revision through each to the last, and from each straight to the last."""
    every = revisions()
    step(empty_engine, every[0])
    put_events(empty_engine)
    for revision in every[1:]:
        before = rows_of(empty_engine)
        step(empty_engine, revision)
        assert_kept(before, rows_of(empty_engine))
    for revision in every[-2::-1]:
        step(empty_engine, revision, down=True)
        before = rows_of(empty_engine)
        step(empty_engine, every[-1])
        assert_kept(before, rows_of(empty_engine))
    assert len(rows_of(empty_engine)[audit_events.name]) == EVENTS
    faults, report = faults_of(empty_engine, Seals())
    assert (faults, report.events, report.chains) == ([], EVENTS, 7)


def test_what_the_service_stored_stays_on_every_way_down_and_up(empty_engine: Engine, tmp_path: Path) -> None:
    """Checkpoints go with the revision that brought them; no event does, and the chains are whole in the end."""
    every = revisions()
    (tmp_path / "key").write_bytes(new_key()[0])
    key = read_signing_key("key", str(tmp_path / "key"))
    seals = Seals(key)
    step(empty_engine, every[-1])
    for start in (0, EVENTS // 2):
        records = [record(number, NOW) for number in range(start, start + EVENTS // 2)]
        Repository(empty_engine).store(records, NOW)
        Checkpoints(empty_engine, seals, StoppedClock(), Metrics(CollectorRegistry())).take(key)
    assert faults_of(empty_engine, seals)[0] == []
    for revision in every[-2::-1]:
        before = rows_of(empty_engine)
        step(empty_engine, revision, down=True)
        assert_kept(before, rows_of(empty_engine))
    for revision in every[1:]:
        before = rows_of(empty_engine)
        step(empty_engine, revision)
        assert_kept(before, rows_of(empty_engine))
    faults, report = faults_of(empty_engine, seals)
    assert (faults, report.events) == ([], EVENTS)
    # It takes up where it was: the same again is known, the next goes to the end of its chain.
    assert Repository(empty_engine).store([record(0, NOW), record(EVENTS, NOW)], NOW) == {UUID(int=EVENTS + 1)}
    assert faults_of(empty_engine, seals)[0] == []


def test_down_leads_back_to_what_was(empty_engine: Engine) -> None:
    """Tables, columns and indexes are the same whether a revision is reached from below or from above."""
    every = revisions()
    shapes: dict[str, Shape] = {}
    for revision in every:
        step(empty_engine, revision)
        shapes[revision] = shape_of(empty_engine)
    for _above, revision in pairwise(every[::-1]):
        step(empty_engine, revision, down=True)
        assert shape_of(empty_engine) == shapes[revision]


@pytest.mark.parametrize("number", range(len(revisions())))
def test_an_empty_database_of_any_revision(empty_engine: Engine, number: int) -> None:
    every = revisions()
    step(empty_engine, every[number])
    step(empty_engine, every[-1])
    Repository(empty_engine).store([record(0, NOW)], NOW)
    with empty_engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(audit_events)).scalar_one() == 1
