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

from models.errors import Transient
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
    """Run `wfe` with this service as its DataStorage."""
    (tmp_path / "kubeconfig").write_text("{}")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WFE_")}
    environ = {**kept, "KUBECONFIG": str(tmp_path / "kubeconfig"), "WFE_AUDIT_DATASTORAGE_URL": url}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).parent / "wfe"), "audit", *words]
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)

    return run


def tamper(tmp_path: Path, statement: str) -> None:
    with closing(sqlite3.connect(tmp_path / "audit.db", timeout=30)) as database, database:
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


def test_the_executor_and_wfe_send_their_token(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The right token is stored with, another is tried again later, and a new one in the file needs no restart."""
    start("migrate").wait()
    (tmp_path / "tokens").write_text(f"executor write {'w' * 20}\nauditor read {'r' * 20}\n")
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
