"""PostgreSQL goes away and comes back under a running service."""

from __future__ import annotations

import threading

import httpx
import pytest
from sqlalchemy import text

from datastorage import schema
from datastorage.engine import open_engine
from datastorage.settings import parse_settings
from tests.integration.datastorage.conftest import Start, event, eventually, total
from tests.postgres_plugin import PostgresServer

pytestmark = pytest.mark.postgres


@pytest.fixture
def server(own_server: PostgresServer) -> PostgresServer:
    """Start a server of the test's own, with the schema in it."""
    own_server.start()
    engine = open_engine(parse_settings({"database": {"url": own_server.url()}}, {}, {}))
    schema.upgrade(engine)
    engine.dispose()
    return own_server


def test_503_while_it_is_away_and_recovery_without_a_restart(start: Start, server: PostgresServer) -> None:
    url = start("serve", "--port", "0", url=server.url()).url
    events = f"{url}/api/v1/audit/events"
    assert httpx.post(events, json=event(1)).status_code == 201
    server.kill()
    for answer in (httpx.post(events, json=event(2)), httpx.get(events)):
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert answer.json()["type"] == "https://kubernaut.ai/problems/database-unavailable"
    assert httpx.get(f"{url}/health").json() == {"status": "unhealthy", "database": "disconnected"}
    assert httpx.get(f"{url}/health/live").status_code == 200
    server.start()
    assert httpx.post(events, json=event(2)).status_code == 201
    assert httpx.get(f"{url}/health/ready").status_code == 200
    assert total(url) == 2


def test_a_restart_that_no_request_fell_into_is_not_noticed(start: Start, server: PostgresServer) -> None:
    url = start("serve", "--port", "0", url=server.url()).url
    assert httpx.post(f"{url}/api/v1/audit/events", json=event(1)).status_code == 201
    server.kill()
    server.start()
    assert httpx.post(f"{url}/api/v1/audit/events", json=event(2)).status_code == 201


def test_killed_in_the_middle_of_batches(start: Start, server: PostgresServer) -> None:
    """Senders repeat what was not acknowledged, as the executor does: everything is stored, nothing twice."""
    url = start("serve", "--port", "0", url=server.url()).url
    statuses: set[int] = set()
    stored = threading.Semaphore(0)

    def send(number: int) -> None:
        with httpx.Client(timeout=60) as client:
            for first in range(number * 1000, number * 1000 + 500, 50):
                batch = [event(first + n + 1) for n in range(50)]

                def post(client: httpx.Client = client, batch: list[dict[str, object]] = batch) -> bool:
                    status = client.post(f"{url}/api/v1/audit/events/batch", json=batch).status_code
                    statuses.add(status)
                    return status == 201

                eventually(post)
                stored.release()

    senders = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for sender in senders:
        sender.start()
    for _ in range(3):
        for _ in range(4):
            assert stored.acquire(timeout=90)
        server.kill()
        server.start()
    for sender in senders:
        sender.join()
    assert statuses == {201, 503}
    assert total(url) == 2000


def test_a_lock_that_is_not_given_in_time_is_503(start: Start, server: PostgresServer) -> None:
    url = start("serve", "--port", "0", url=server.url(), database_lock_timeout="100ms").url
    engine = open_engine(parse_settings({"database": {"url": server.url()}}, {}, {}))
    with engine.begin() as connection:
        connection.execute(text("LOCK TABLE audit_events"))
        answer = httpx.post(f"{url}/api/v1/audit/events", json=event(1))
        assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (503, "database-unavailable")
    engine.dispose()
    eventually(lambda: httpx.post(f"{url}/api/v1/audit/events", json=event(1)).status_code == 201)


def test_a_statement_that_takes_too_long_is_503(start: Start, server: PostgresServer) -> None:
    url = start("serve", "--port", "0", url=server.url(), database_statement_timeout="100ms").url
    engine = open_engine(parse_settings({"database": {"url": server.url()}}, {}, {}))
    with engine.begin() as connection:
        connection.execute(text("LOCK TABLE audit_events"))
        assert httpx.get(f"{url}/api/v1/audit/events").status_code == 503
    engine.dispose()
    # With so little time a busy machine may still refuse it now and then.
    eventually(lambda: httpx.get(f"{url}/api/v1/audit/events").status_code == 200)
