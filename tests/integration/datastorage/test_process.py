"""The command: exit codes, waiting for what it needs, and a stop that finishes what was accepted."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psycopg
import pytest

import datastorage
from datastorage.engine import HEALTH_CONNECTIONS, UPKEEP_CONNECTIONS
from tests.integration.datastorage.conftest import Start, event, eventually, total
from tests.postgres_plugin import PostgresServer


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


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
        (
            ("serve",),
            {"server_allow_unauthenticated": "false"},
            "misconfigured: server.token_file is not set: allowed is",
        ),
        (("serve", "--host", "0.0.0.0", "--port", "0"), {}, "misconfigured: server.host=0.0.0.0: allowed without auth"),
        (
            ("serve",),
            {"server_token_file": "nowhere"},
            "misconfigured: server.token_file=nowhere: allowed is a readable",
        ),
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


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:"), ("localhost", "http://"), ("127.1", "http://127.0.0.1:")]
    + [("::1", "http://[::1]:")] * _has_ipv6(),
)
def test_without_authentication_loopback_is_served_and_announced(start: Start, host: str, url: str) -> None:
    """What counts is the address that is taken, not how it is called."""
    server = start("serve", "--host", host, "--port", "0")
    assert server.url.startswith(url)
    assert "WITHOUT authentication" in server.logged("serving")["message"]
    assert server.lines.index(next(line for line in server.lines if "WITHOUT" in line)) == 0
    assert httpx.get(f"{server.url}/health").status_code == 200


def test_a_unix_socket_is_for_this_user_alone(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "s"
    first = start("serve", server_unix_socket=str(path))
    assert first.url == f"unix:{path}"
    assert path.stat().st_mode & 0o777 == 0o600
    assert start("serve", server_unix_socket=str(path)).wait() == 1, "one that is in use is left alone"
    first.process.send_signal(signal.SIGKILL)
    first.wait()
    assert start("serve", server_unix_socket=str(path)).url, "one that a killed process left is not"
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://datastorage") as client:
        assert client.get("/health").status_code == 200


def test_a_token_is_taken_and_given_without_a_restart(start: Start, tmp_path: Path) -> None:
    start("migrate").wait()
    tokens = tmp_path / "tokens"
    tokens.write_text(f"executor write {'w' * 20}\nauditor read {'r' * 20}\n")
    server = start("serve", "--port", "0", server_token_file=str(tokens))
    events = f"{server.url}/api/v1/audit/events"

    def status(token: str) -> int:
        return httpx.get(events, headers={"Authorization": f"Bearer {token}"}).status_code

    assert server.logged("a token is asked for")["tokens"] == 2
    assert status("r" * 20) == 200
    tokens.write_text(f"executor write {'w' * 20}\nauditor read {'n' * 20}\n")
    eventually(lambda: status("r" * 20) == 401)
    assert status("n" * 20) == 200
    tokens.write_text("nonsense\n")
    eventually(lambda: "datastorage_token_file_broken 1.0" in httpx.get(f"{server.url}/metrics").text)
    assert status("n" * 20) == 200
    assert server.logged("the token file is broken")["level"] == "error"
    assert server.terminate() == 0
    log = "\n".join(server.lines)
    assert not any(letter * 20 in log for letter in "wrn")


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
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
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


def test_a_file_that_somebody_else_writes_to_is_503_and_nothing_is_stored(start: Start, tmp_path: Path) -> None:
    start("migrate").wait()
    url = start("serve", "--port", "0", database_lock_timeout="100ms").url
    other = sqlite3.connect(tmp_path / "audit.db", isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        answer = httpx.post(f"{url}/api/v1/audit/events/batch", json=[event(1), event(2)], timeout=30)
        assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (503, "database-unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert total(url) == 0, "readers wait for nobody"
        other.execute("ROLLBACK")
    finally:
        other.close()
    assert httpx.post(f"{url}/api/v1/audit/events/batch", json=[event(1), event(2)], timeout=30).status_code == 201
    assert total(url) == 2


def test_what_waited_longer_than_a_week_is_let_in_when_the_operator_says_so(start: Start) -> None:
    start("migrate").wait()
    old = event(1, event_timestamp=(datetime.now(UTC) - timedelta(days=8)).isoformat())
    first = start("serve", "--port", "0")
    refused = httpx.post(f"{first.url}/api/v1/audit/events/batch", json=[old], timeout=30)
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["message"] == "must not be more than 7 days in the past"
    assert first.terminate() == 0
    second = start("serve", "--port", "0", server_past_window="240h")
    assert httpx.post(f"{second.url}/api/v1/audit/events/batch", json=[old], timeout=30).status_code == 201
    older = event(2, event_timestamp=(datetime.now(UTC) - timedelta(days=11)).isoformat())
    assert (
        "more than 10 days" in httpx.post(f"{second.url}/api/v1/audit/events", json=older, timeout=30).json()["detail"]
    )


@pytest.mark.postgres
def test_more_requests_than_connections_wait_and_open_no_others(start: Start, own_server: PostgresServer) -> None:
    own_server.start()
    assert start("migrate", url=own_server.url()).wait() == 0
    url = start("serve", "--port", "0", url=own_server.url(), database_pool_size="2").url
    statuses: list[int] = []

    def send(writer: int) -> None:
        with httpx.Client(timeout=60) as client:
            for number in range(5):
                batch = [event(1 + writer * 1000 + number * 20 + n) for n in range(20)]
                statuses.append(client.post(f"{url}/api/v1/audit/events/batch", json=batch).status_code)

    senders = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for sender in senders:
        sender.start()
    most = 0
    with psycopg.connect(own_server.url(), autocommit=True) as watching:
        working = True
        while working:
            working = any(sender.is_alive() for sender in senders)  # and once more when they are done
            query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'datastorage'"
            most = max(most, watching.execute(query).fetchall()[0][0])
    assert statuses == [201] * 40
    assert 1 <= most <= 2 + HEALTH_CONNECTIONS + UPKEEP_CONNECTIONS
    assert total(url) == 800


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
