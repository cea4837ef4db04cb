"""Measure one verification of a million events: rows a second and the most memory its process ever had.

`python -m tests.bench.audit_verify [--events 1000000] [--database sqlite]` fills a database through the repository and
verifies it over HTTP in a service process of its own, exports it, and verifies the export offline. PostgreSQL runs
without fsync: it is only read here.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx

from cli.exported import Found, verify_export
from datastorage import schema
from datastorage.clock import Clock
from datastorage.keys import new_key, read_public_keys
from datastorage.repository import Repository
from models.audit_request import read_event
from tests.bench.datastorage_insert import batches, engine_of
from tests.postgres_plugin import discard, new_server


def main() -> None:
    """Measure on the databases asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], action="append")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        for name in options.database or ["sqlite", "postgresql"]:
            if name == "sqlite":
                measure(name, f"sqlite:///{directory}/audit.db", options.events, Path(directory, name))
                continue
            server = new_server()
            try:
                server.start()
                measure(name, server.create_database("bench"), options.events, Path(directory, name))
            finally:
                discard(server)


def measure(name: str, url: str, events: int, directory: Path) -> None:
    """Fill one database and verify it."""
    directory.mkdir()
    private, public = new_key()
    key = directory / "key"
    key.write_bytes(private)
    (directory / "key.pub").write_bytes(public)
    began = time.perf_counter()
    fill(url, events)
    print(f"{name}: {events:,} events stored in {time.perf_counter() - began:.0f} s", flush=True)
    command = [sys.executable, "-m", "datastorage", "serve", "--port", "0"]
    environ = {"DATASTORAGE_DATABASE_URL": url, "DATASTORAGE_CHECKPOINT_KEY_FILE": str(key)}
    environ |= {"DATASTORAGE_CHECKPOINT_INTERVAL": "1h", "DATASTORAGE_SERVER_ALLOW_UNAUTHENTICATED": "true"}
    process = subprocess.Popen(command, env=environ, cwd=Path(__file__).parents[2], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    base = next(json.loads(line)["url"] for line in process.stderr if '"listening"' in line) + "/api/v1/audit"
    threading.Thread(target=process.stderr.read, daemon=True).start()
    with httpx.Client(timeout=600) as client:
        began = time.perf_counter()
        client.post(f"{base}/checkpoints").raise_for_status()
        print(f"  checkpoint over all chains: {time.perf_counter() - began:.1f} s", flush=True)
        before = peak(process.pid)
        began = time.perf_counter()
        report = client.post(f"{base}/verify-chain").raise_for_status().json()
        seconds = time.perf_counter() - began
        assert (report["valid"], report["events"]) == (True, events), report
        memory = f"{before} MiB before, at most {peak(process.pid)} MiB"
        print(f"  verify-chain: {seconds:.1f} s, {events / seconds:,.0f}/s; {memory}", flush=True)
        began = time.perf_counter()
        with client.stream("GET", f"{base}/export") as answer, (directory / "audit.jsonl").open("wb") as data:
            last = b""
            for line in answer.iter_lines():
                if line.startswith('{"manifest"'):
                    last = line.encode()
                else:
                    data.write(line.encode() + b"\n")
        document = json.loads(last)
        (directory / "manifest.json").write_text(document["manifest"])
        (directory / "manifest.sig").write_text(document["signature"])
        print(f"  export: {time.perf_counter() - began:.1f} s, at most {peak(process.pid)} MiB", flush=True)
    process.terminate()
    process.wait()
    found = Found()
    began = time.perf_counter()
    faults = list(verify_export(directory, read_public_keys("key", str(directory / "key.pub")), found))
    seconds = time.perf_counter() - began
    assert (faults, found.events) == ([], events)
    mine = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"  offline: {seconds:.1f} s, {events / seconds:,.0f}/s, at most {mine} MiB (filling included)", flush=True)


def fill(url: str, events: int) -> None:
    """Store events like the executor's, four to a chain."""
    engine = engine_of(url)
    schema.upgrade(engine)
    repository, clock, now = Repository(engine), Clock(), datetime.now(UTC)
    for batch in batches(events, 500):
        repository.store([read_event(event, now=now, new_id=clock.new_id) for event in batch], now)
    engine.dispose()


def peak(pid: int) -> int:
    """Return the most memory that a process ever had, in MiB (Linux)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
