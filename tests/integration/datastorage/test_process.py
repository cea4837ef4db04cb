"""The command: exit codes, waiting for what it needs, and a stop that finishes what was accepted."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

import datastorage
from tests.integration.datastorage.conftest import Start, event, eventually, total
from tests.postgres_plugin import PostgresServer


def test_not_ready_before_the_migration_and_ready_after_it(start: Start) -> None:
    server = start("serve", "--port", "0")
    assert httpx.get(f"{server.url}/health").status_code == 200
    assert httpx.get(f"{server.url}/health/ready").status_code == 503
    assert server.logged("not ready before")["needed"]
    assert start("migrate").wait() == 0
    assert httpx.get(f"{server.url}/health/ready").status_code == 200
    assert httpx.post(f"{server.url}/api/v1/audit/events", json=event(1)).status_code == 201
    assert server.terminate() == 0


def test_events_survive_kill_9(start: Start) -> None:
    start("migrate").wait()
    first = start("serve", "--port", "0")
    httpx.post(f"{first.url}/api/v1/audit/events/batch", json=[event(1), event(2)]).raise_for_status()
    first.process.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    second = start("serve", "--port", "0")
    assert total(second.url) == 2


@pytest.mark.parametrize(
    ("arguments", "settings", "line"),
    [
        (("serve", "--port", "http"), {}, "misconfigured: server.port=http: allowed is a whole number from 0 to 65535"),
        (("serve", "--host", "0.0.0.0"), {}, "misconfigured: server.host=0.0.0.0: allowed without authentication"),
        (("migrate",), {"database_pool_size": "many"}, "misconfigured: database.pool_size=many: allowed is a whole"),
        (("serve", "--config", "nowhere.yaml"), {}, "misconfigured: --config=nowhere.yaml: allowed is a readable YAML"),
    ],
)
def test_a_wrong_setting_is_one_line_and_exit_2(
    start: Start, arguments: tuple[str, ...], settings: dict[str, str], line: str
) -> None:
    process = start(*arguments, **settings)
    assert process.wait() == 2
    assert len(process.lines) == 1
    assert process.lines[0].startswith(line)


def test_listening_beyond_loopback_is_announced(start: Start) -> None:
    """127.1 is loopback for the system but not by its text, so nothing is exposed here."""
    assert start("serve", "--host", "127.1", "--port", "0").wait() == 2
    allowed = start("serve", "--host", "127.1", "--port", "0", server_allow_unauthenticated="true")
    assert allowed.url.startswith("http://127.0.0.1:")
    assert "WITHOUT authentication" in allowed.logged("serving")["message"]


def test_a_taken_port_is_one_line(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start("serve", "--port", str(taken.getsockname()[1]))
        assert process.wait() == 1
    assert process.lines[-1].startswith("datastorage: ")
    assert "in use" in process.lines[-1]


def test_sigterm_finishes_what_was_accepted(start: Start) -> None:
    start("migrate").wait()
    server = start("serve", "--port", "0")
    body = json.dumps(event(1)).encode()
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        head = f"POST /api/v1/audit/events HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body[:10])
        eventually(lambda: httpx.get(f"{server.url}/health/live").is_success)
        server.process.send_signal(signal.SIGTERM)
        server.logged("Shutting down")
        connection.sendall(body[10:])
        assert connection.recv(4096).startswith(b"HTTP/1.1 201")
    assert server.wait() == 0
    again = start("serve", "--port", "0")
    assert total(again.url) == 1


@pytest.mark.postgres
def test_waits_for_the_database_at_start(start: Start, own_server: PostgresServer) -> None:
    migration = start("migrate", url=own_server.url())
    server = start("serve", "--port", "0", url=own_server.url())
    waiting = server.logged("waiting for the database")
    assert f"127.0.0.1:{own_server.port}" in waiting["database"]
    own_server.start()
    assert migration.wait() == 0
    eventually(lambda: httpx.get(f"{server.url}/health/ready").is_success)
    password = own_server.url().split(":")[2].partition("@")[0]
    assert not any(password in line for line in server.lines)


@pytest.mark.postgres
def test_waits_no_longer_than_its_deadline(start: Start, own_server: PostgresServer) -> None:
    process = start("serve", "--port", "0", url=own_server.url(), database_connect_deadline="300ms")
    assert process.wait() == 1
    assert "did not answer within 0.3 s" in process.lines[-1]


@pytest.mark.postgres
def test_says_why_it_waits(start: Start, postgres_server: PostgresServer) -> None:
    wrong = f"postgresql://tester:topsecret@127.0.0.1:{postgres_server.port}/postgres"
    process = start("serve", "--port", "0", url=wrong, database_connect_deadline="300ms")
    assert process.wait() == 1
    assert "password authentication failed" in process.lines[-1]
    assert not any("topsecret" in line for line in process.lines)


def test_openapi_prints_the_committed_document() -> None:
    printed = subprocess.run([sys.executable, "-m", "datastorage", "openapi"], capture_output=True, check=True).stdout
    assert printed == Path(datastorage.__file__).with_name("openapi.json").read_bytes()
