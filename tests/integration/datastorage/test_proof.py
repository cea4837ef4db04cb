"""`wfe audit verify`, `export` and `checkpoint` with a service process that signs, and without it."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import update

from datastorage.engine import open_engine, writing
from datastorage.reading_back import events_by_chain
from datastorage.settings import parse_settings
from models.audit_chain import Head, content_hash, content_text, extended
from models.errors import Transient
from models.tables import audit_chains, audit_events
from tasks.adapters.datastorage import AuditClient
from tests.integration.datastorage.conftest import Start, event, eventually

Wfe = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def key(start: Start, tmp_path: Path) -> Path:
    """Make a key as a person would."""
    assert start("keygen", str(tmp_path / "key")).wait() == 0
    return tmp_path / "key"


@pytest.fixture
def url(start: Start, key: Path, tmp_path: Path) -> str:
    """Run a service that signs every second; three events in two chains are stored."""
    start("migrate").wait()
    settings = {"checkpoint_key_file": str(key), "checkpoint_anchor_file": str(tmp_path / "anchor")}
    url = start("serve", "--port", "0", checkpoint_interval="1s", **settings).url
    batch = [event(1), event(2), event(3, correlation_id="rr-2")]
    httpx.post(f"{url}/api/v1/audit/events/batch", json=batch).raise_for_status()
    return url


@pytest.fixture
def wfe(tmp_path: Path, url: str) -> Wfe:
    """Run `wfe` with this service as its DataStorage, as an auditor who has no cluster."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WFE_", "KUBECONFIG"))}
    environ = {**kept, "HOME": str(tmp_path), "WFE_STATE_DIR": str(tmp_path / "state")}

    def run(*words: str, at: str = url) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).parent / "wfe"), "audit", *words]
        environ["WFE_AUDIT_DATASTORAGE_URL"] = at
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)

    return run


def tamper(tmp_path: Path, statement: str, name: str = "audit.db") -> None:
    with closing(sqlite3.connect(tmp_path / name, timeout=30)) as database, database:
        database.execute(statement)


def test_checkpoints_are_taken_by_themselves(url: str, wfe: Wfe, key: Path, tmp_path: Path) -> None:
    def signed() -> bool:
        report = httpx.post(f"{url}/api/v1/audit/verify-chain").json()
        assert report["faults"] == []
        return bool(report["events_since"] == 0)

    eventually(signed)
    told = wfe("verify", "--all", "--public-key", f"{key}.pub")
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("OK: 3 events in 2 chains are as they were written; checkpoint ")
    line = json.loads((tmp_path / "anchor").read_text().splitlines()[-1])
    assert f"checkpoint {line['number']} of {line['taken_at']} is signed by key {line['key_id']}" in told.stdout
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_what_was_changed_is_named(wfe: Wfe, tmp_path: Path) -> None:
    tamper(tmp_path, "UPDATE audit_events SET actor_id = 'nobody' WHERE chain_position = 2")
    told = wfe("verify")
    assert told.returncode == 1
    assert "rr-1 event 2 (00000000-0000-0000-0000-000000000002): altered: " in told.stdout
    assert "1 faults" in told.stderr
    assert wfe("verify", "--correlation-id", "rr-1").returncode == 1
    assert wfe("verify", "--correlation-id", "rr-2").returncode == 0
    assert json.loads(wfe("verify", "-o", "json").stdout)["faults"][0]["position"] == 2


def test_an_export_is_verified_with_the_public_key_alone(wfe: Wfe, key: Path, tmp_path: Path) -> None:
    kept = wfe("checkpoint").stdout
    (tmp_path / "kept").write_text(kept)
    assert "signed" in wfe("export", "--from", "1h", "--into", str(tmp_path / "export")).stdout
    words = ("verify", "--export", str(tmp_path / "export"), "--public-key", f"{key}.pub")
    told = wfe(*words, "--checkpoint", str(tmp_path / "kept"))
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stdout.startswith("OK: 3 events in 2 chains")
    data = tmp_path / "export" / "audit.jsonl"
    data.write_text(data.read_text().replace('"event_outcome":"success"', '"event_outcome":"failure"', 1))
    told = wfe(*words)
    assert told.returncode == 1
    assert "rr-1 event 1 (00000000-0000-0000-0000-000000000001): altered: " in told.stdout
    assert "export" in wfe("export", "--into", str(tmp_path / "export")).stderr


def test_a_story_is_told_and_held_without_a_cluster(wfe: Wfe) -> None:
    told = wfe("--correlation-id", "rr-1", "-o", "json")
    assert told.returncode == 0, told.stderr
    assert [each["correlation_id"] for each in json.loads(told.stdout)] == ["rr-1", "rr-1"]
    held = wfe("hold", "set", "rr-1", "--reason", "matter 12")
    assert held.returncode == 0, held.stderr
    missing = wfe("again")
    assert missing.returncode == 2
    assert missing.stderr.startswith("error: there is no kubeconfig ")


def test_the_executor_and_wfe_send_their_token(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The right token is stored with, another is tried again later, and a new one in the file needs no restart."""
    start("migrate").wait()
    (tmp_path / "tokens").write_text(
        f"executor write {'w' * 20}\nauditor read {'r' * 20}\ncounsel read,hold {'h' * 20}\n"
    )
    url = start("serve", "--port", "0", server_token_file=str(tmp_path / "tokens")).url
    mine = tmp_path / "token"
    client = AuditClient(url, timedelta(seconds=30), str(mine))
    for wrong in (None, "", "x" * 20, "r" * 20):
        if wrong is not None:
            mine.write_text(wrong)
        with pytest.raises(Transient):
            client.store([json.dumps(event(1)).encode()])
    mine.write_text("w" * 20 + "\n")
    client.store([json.dumps(event(1)).encode()])
    client._client.close()
    (tmp_path / "kubeconfig").write_text("{}")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.setenv("WFE_AUDIT_DATASTORAGE_URL", url)
    wfe = [str(Path(sys.executable).parent / "wfe"), "audit", "verify"]
    refused = subprocess.run(wfe, capture_output=True, text=True, timeout=60, check=False)
    assert (refused.returncode, "401" in refused.stderr) == (1, True)
    (tmp_path / "auditor").write_text("r" * 20)
    monkeypatch.setenv("WFE_AUDIT_TOKEN_FILE", str(tmp_path / "auditor"))
    told = subprocess.run(wfe, capture_output=True, text=True, timeout=60, check=True)
    assert told.stdout.startswith("OK: 1 events in 1 chains")
    # A hold is set with a right of its own: neither who writes nor who reads has it.
    hold = [*wfe[:2], "hold", "set", "rr-1", "--reason", "matter 12"]
    for token in ("auditor", "token"):
        monkeypatch.setenv("WFE_AUDIT_TOKEN_FILE", str(tmp_path / token))
        refused = subprocess.run(hold, capture_output=True, text=True, timeout=60, check=False)
        assert (refused.returncode, "does not have the right to hold" in refused.stderr) == (1, True)
    (tmp_path / "counsel").write_text("h" * 20)
    monkeypatch.setenv("WFE_AUDIT_READ_TOKEN_FILE", str(tmp_path / "counsel"))
    made = subprocess.run(hold, capture_output=True, text=True, timeout=60, check=True)
    assert made.stdout.endswith(" by counsel: matter 12\n")
    listed = subprocess.run([*wfe[:2], "hold", "list"], capture_output=True, text=True, timeout=60, check=True)
    assert "matter 12" in listed.stdout


@pytest.mark.parametrize("content", ["", "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"])
def test_a_wrong_key_is_one_line_that_does_not_quote_it(start: Start, tmp_path: Path, content: str) -> None:
    (tmp_path / "wrong").write_text(content)
    process = start("serve", "--port", "0", checkpoint_key_file=str(tmp_path / "wrong"))
    assert process.wait() == 2
    assert len(process.lines) == 1
    assert process.lines[0].startswith(f"misconfigured: checkpoint.key_file={tmp_path}/wrong: allowed is a file with")


def test_a_story_of_more_than_one_page_is_told_once_and_in_order(url: str, wfe: Wfe) -> None:
    for first in range(100, 1300, 400):
        batch = [event(n, correlation_id="long", resource_id=f"e-{n}") for n in range(first, first + 400)]
        httpx.post(f"{url}/api/v1/audit/events/batch", json=batch, timeout=30).raise_for_status()
    told = json.loads(wfe("--correlation-id", "long", "-o", "json").stdout)
    assert [row["chain_position"] for row in told] == list(range(1, 1201))


def test_a_month_that_retention_removed_is_named_as_such(start: Start, key: Path, wfe: Wfe, tmp_path: Path) -> None:
    """By a service that keeps 30 days, at its start; online and offline."""
    database = f"sqlite:///{tmp_path}/aged.db"
    assert start("migrate", url=database).wait() == 0
    first = start("serve", "--port", "0", url=database)
    batch = [event(1), event(2), event(3, correlation_id="rr-2")]
    httpx.post(f"{first.url}/api/v1/audit/events/batch", json=batch, timeout=30).raise_for_status()
    assert first.terminate() == 0
    age(database, 100)
    second = start("serve", "--port", "0", url=database, retention_keep="30d", checkpoint_key_file=str(key))
    assert second.logged("a month was removed")["events"] == 3
    told = wfe("verify", "--public-key", f"{key}.pub", at=second.url)
    assert told.returncode == 0, told.stdout + told.stderr
    assert ": 3 events of 2 chains were removed by retention at " in told.stdout
    assert "OK: 1 events in 1 chains are as they were written" in told.stdout
    assert wfe("export", "--into", str(tmp_path / "export"), at=second.url).returncode == 0
    told = wfe("verify", "--export", str(tmp_path / "export"), "--public-key", f"{key}.pub")
    assert (told.returncode, ": 3 events of 2 chains were removed by retention at " in told.stdout) == (0, True)
    tamper(tmp_path, "UPDATE audit_removals SET signature = zeroblob(64)", "aged.db")
    told = wfe("verify", at=second.url)
    assert told.returncode == 1
    assert "its signature by key" in told.stdout
    assert "rr-1 event 1: missing: the chain was cut: it had 2 events" in told.stdout


def age(database: str, days: int) -> None:
    """Let everything have been stored so many days ago, with hashes that fit."""
    engine = open_engine(parse_settings({"database": {"url": database}}, {}, {}))
    with writing(engine).begin() as connection:
        heads: dict[str, Head] = {}
        for row in list(events_by_chain(connection)):
            chain, at = row["correlation_id"], row["recorded_at"] - timedelta(days=days)
            heads[chain] = extended(heads.get(chain, Head()), content_hash(content_text(row)), at)
            here = audit_events.c.sequence == row["sequence"]
            aged = update(audit_events).where(here).values(recorded_at=at, chain_hash=heads[chain].hash)
            connection.execute(aged)
        for chain, end in heads.items():
            connection.execute(update(audit_chains).where(audit_chains.c.correlation_id == chain).values(hash=end.hash))
    engine.dispose()


@pytest.mark.parametrize(
    ("keep", "allowed"), [("30d", "only with checkpoint.key_file"), ("29d", "is a time such as 90d")]
)
def test_retention_that_cannot_be_is_one_line(start: Start, keep: str, allowed: str) -> None:
    process = start("serve", "--port", "0", retention_keep=keep)
    assert process.wait() == 2
    assert len(process.lines) == 1
    assert process.lines[0].startswith(f"misconfigured: retention.keep={keep}: allowed {allowed}")


def test_holds_by_hand(wfe: Wfe) -> None:
    made = wfe("hold", "set", "rr-1", "--reason", "matter 12")
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("rr-1 (3 events): on hold since ")
    assert made.stdout.endswith(" by unverified:unknown: matter 12\n")
    everything = wfe("hold", "set", "--everything", "--reason", "audit", "-o", "json").stdout
    assert json.loads(everything)["everything"] is True
    listed = wfe("hold", "list").stdout.splitlines()
    assert [line.split()[0] for line in listed] == ["ON", "everything", "rr-1"]
    assert "matter 12" in wfe("hold", "set", "rr-1", "--reason", "another").stderr
    assert wfe("hold", "lift", "rr-1", "--reason", "closed").stdout.startswith("rr-1: no longer on hold; it was since ")
    assert wfe("hold", "lift", "--everything", "--reason", "closed").returncode == 0
    assert wfe("hold", "list").stderr == "Nothing is on hold.\n"
    assert wfe("hold", "set", "rr-1", "--everything", "--reason", "x").returncode == 2
    assert wfe("verify").returncode == 0
