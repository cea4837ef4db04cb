"""A Redis that comes back with an older state: from a snapshot, or a replica that took over too early."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis

from models.hold import GateClosed, Mine, Owner
from models.keys import Key
from tasks.redis_scripts.hold import Holds
from tests.policy import require
from tests.redis_plugin import RedisServer
from tests.waiting import until

BORN = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
A, B = (Owner(f"uid-{name}", Key("ns", name), BORN) for name in "ab")
OLD, NEW = "ns/deployment/old", "ns/deployment/new"


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    executable = shutil.which("redis-server")
    require(executable, "redis-server is not installed")
    assert executable is not None
    server = RedisServer(executable, tmp_path)
    server.start()
    yield server
    server.stop()


def test_gate_of_a_server_that_was_restarted_from_a_snapshot_is_closed(own_server: RedisServer) -> None:
    with redis.Redis.from_url(own_server.url) as client:
        holds = Holds(client, "t")
        assert holds.open_gate()
        assert isinstance(holds.take(OLD, A), Mine)
        client.save()
        assert isinstance(holds.take(NEW, A), Mine)
        own_server.restart()
        assert client.get("t:epoch"), "it came back with the snapshot"
        assert_nothing_goes_before_it_is_restored(holds)


def test_gate_of_a_replica_that_took_over_is_closed(own_server: RedisServer, redis_server: RedisServer) -> None:
    with redis.Redis.from_url(own_server.url) as client, redis.Redis.from_url(redis_server.url) as second:
        second.flushall()
        assert Holds(client, "t").open_gate()
        assert isinstance(Holds(client, "t").take(OLD, A), Mine)
        second.replicaof("127.0.0.1", str(own_server.port))
        try:
            until(lambda: second.get("t:epoch") == client.get("t:epoch"), 60, "everything is replicated")
        finally:
            second.replicaof("NO", "ONE")
        assert_nothing_goes_before_it_is_restored(Holds(second, "t"))


def assert_nothing_goes_before_it_is_restored(holds: Holds) -> None:
    assert not holds.gate_open()
    assert isinstance(holds.take(NEW, B), GateClosed)
    assert isinstance(holds.look(OLD, A.uid), GateClosed)
    restoration = holds.begin_restore()
    assert restoration
    assert holds.all() == [], "what an older state says of holds does not count"
    assert holds.restore(NEW, A, 7, BORN)
    assert holds.open_gate(restoration)
    assert holds.gate_open()
    assert [held.uid for held in holds.all()] == [A.uid]
