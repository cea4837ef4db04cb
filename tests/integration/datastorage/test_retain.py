"""`datastorage retain`: what the service does every hour, once, with a line for each month and an exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import Engine, func, select, update

from datastorage import schema
from datastorage.checkpoints import Seals
from datastorage.clock import Clock
from datastorage.engine import open_engine
from datastorage.holds import Holds
from datastorage.keys import new_key, read_signing_key
from datastorage.repository import Repository
from datastorage.settings import parse_settings
from datastorage.verification import Report, Verification
from models.audit_hold import HoldAsk
from models.audit_months import month_of
from models.audit_request import read_event
from models.tables import audit_events, audit_removals
from tests.integration.datastorage.conftest import event
from tests.postgres_plugin import PostgresServer

_ASK = HoldAsk("held", "matter 12", None)


@dataclass(frozen=True, slots=True)
class Aged:
    """A database with events of three months, of which two are over; the second has a chain on hold."""

    engine: Engine
    key: Path
    directory: Path
    months: tuple[str, str, str]
    kept_until: str

    def retain(self, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run the command."""
        given = {"database_url": self.url, "retention_keep": "30d", "checkpoint_key_file": str(self.key), **settings}
        environ = {name: value for name, value in os.environ.items() if not name.startswith("DATASTORAGE_")}
        environ |= {f"DATASTORAGE_{name.upper()}": value for name, value in given.items() if value}
        command = [sys.executable, "-m", "datastorage", "retain", *words]
        return subprocess.run(
            command, env=environ, cwd=self.directory, capture_output=True, text=True, timeout=120, check=False
        )

    @property
    def url(self) -> str:
        url = self.engine.url.set(drivername=self.engine.dialect.name)
        return url.render_as_string(hide_password=False)

    def counts(self) -> tuple[int, int]:
        """Return how many events and how many stubs there are."""
        with self.engine.connect() as connection:
            tables = (audit_events, audit_removals)
            events, stubs = (connection.execute(select(func.count()).select_from(each)).scalar_one() for each in tables)
        return events, stubs


@pytest.fixture
def aged(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Aged]:
    """Store what is 200 and 130 days old, and what is of now; on SQLite where nothing else is said."""
    url = f"sqlite:///{tmp_path}/audit.db"
    if getattr(request, "param", "sqlite") == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        url = server.create_database("retained")
    engine = open_engine(parse_settings({"database": {"url": url}}, {}, {}))
    schema.upgrade(engine)
    now = datetime.now(UTC)
    instants = [now - timedelta(days=days) for days in (200, 130, 0)]
    for first, (at, chain) in enumerate(zip(instants, ("gone", "held", "new"), strict=True)):
        documents = [event(first * 2 + n, correlation_id=chain, event_timestamp=at.isoformat()) for n in (1, 2)]
        records = [read_event(document, now=at, new_id=lambda: UUID(int=0)) for document in documents]
        Repository(engine).store(records, at)
    Holds(engine, Clock()).set(_ASK, "counsel")
    key = tmp_path / "key"
    key.write_bytes(new_key()[0])
    gone, held, new = map(month_of, instants)
    yield Aged(engine, key, tmp_path, (str(gone), str(held), str(new)), f"{new.end + timedelta(days=30):%Y-%m-%d}")
    engine.dispose()


@pytest.mark.parametrize("aged", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True)
def test_each_month_has_a_line_and_a_dry_run_removes_nothing(aged: Aged) -> None:
    gone, held, new = aged.months
    rest = [f"{held}: held: on legal hold: held", f"{new}: kept: until {aged.kept_until}"]
    dry = aged.retain("--dry-run")
    assert (dry.returncode, _told(dry)) == (0, [f"{gone}: would be removed: 2 events of 1 chains", *rest]), dry.stderr
    assert aged.counts() == (7, 0)
    done = aged.retain()
    assert (done.returncode, _told(done)) == (0, [f"{gone}: removed: 2 events of 1 chains, stub 1", *rest]), done.stderr
    assert aged.counts() == (6, 1)
    seals = Seals(read_signing_key("key", str(aged.key)))
    report = Report()
    assert [fault for fault in Verification(aged.engine, seals).run(None, None, report) if fault] == []
    assert [stub.month for stub in report.removals] == [gone]


def test_a_month_that_is_refused_is_an_exit_code(aged: Aged) -> None:
    """Somebody has to look after it."""
    held = aged.months[1]
    Holds(aged.engine, Clock()).lift(_ASK, "counsel")
    with aged.engine.begin() as connection:
        first = (audit_events.c.correlation_id == "held") & (audit_events.c.chain_position == 1)
        connection.execute(update(audit_events).where(first).values(event_outcome="failure"))
    refused = aged.retain()
    assert refused.returncode == 1, refused.stderr
    assert _told(refused)[1] == f"{held}: refused: held event 1 ({UUID(int=3)}) is not as it was written"
    assert aged.counts() == (7, 1), "the other month went"


def _told(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return what was printed; months between ours have a partition and nothing in it."""
    return [line for line in done.stdout.splitlines() if not line.endswith(": left: there is nothing of it")]


@pytest.mark.parametrize(
    ("words", "settings", "code", "line"),
    [
        ((), {"retention_keep": ""}, 2, "misconfigured: retention.keep is not set: allowed is a time such as 90d"),
        (("2026-03",), {}, 2, "datastorage: Got unexpected extra argument (2026-03)"),
        ((), {"database_url": "sqlite:///empty.db"}, 1, "datastorage: the schema is at None, not "),
    ],
)
def test_what_cannot_be_is_one_line_and_an_exit_code(
    tmp_path: Path, words: tuple[str, ...], settings: dict[str, str], code: int, line: str
) -> None:
    key = tmp_path / "key"
    key.write_bytes(new_key()[0])
    engine = open_engine(parse_settings({"database": {"url": f"sqlite:///{tmp_path}/audit.db"}}, {}, {}))
    done = Aged(engine, key, tmp_path, ("", "", ""), "").retain(*words, **settings)
    said = [told for told in done.stderr.splitlines() if not told.startswith("{")]
    assert (done.returncode, len(said), done.stdout) == (code, 1, ""), done.stderr
    assert said[0].startswith(line)
