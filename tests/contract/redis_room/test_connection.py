"""The connection on a real server: an outage is Transient, a restart is survived, a frozen server does not block."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import timedelta

import pytest

from models.errors import Misconfigured, Transient
from models.keys import Key
from models.settings import RedisSettings, parse_settings
from tasks.redis_scripts.connection import Client, connect, ping
from tasks.redis_scripts.hold import Holds
from tasks.redis_scripts.outbox import Outbox
from tasks.redis_scripts.queue import Claim, WorkQueue
from tasks.waiting import wait_for_redis
from tests.redis_plugin import RedisServer
from tests.waiting import until

A = Key("ns", "a")


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Client]:
    with connect(RedisSettings(url=redis_server.url, socket_timeout=timedelta(seconds=30))) as connected:
        yield connected


def test_scripts_survive_a_restart_of_redis(redis_server: RedisServer, client: Client) -> None:
    queue, holds = WorkQueue(client, "t", horizon=timedelta(minutes=1)), Holds(client, "t")
    queue.notify([A])
    redis_server.restart()
    assert not holds.gate_open()
    assert len(queue.notify([A])) == 1
    assert isinstance(queue.start(A), Claim)


def test_an_outage_is_transient_everywhere(redis_server: RedisServer, client: Client) -> None:
    queue, holds, outbox = WorkQueue(client, "t", horizon=timedelta(minutes=1)), Holds(client, "t"), Outbox(client, "t")
    redis_server.stop()
    try:
        for ask in (queue.depth, holds.gate_open, holds.held_count, outbox.size, outbox.flush_succeeded):
            with pytest.raises(Transient, match="Redis: ConnectionError"):
                ask()
        with pytest.raises(Transient):
            ping(client)
    finally:
        redis_server.start()
    ping(client)


def test_a_frozen_redis_does_not_block_a_pass(redis_server: RedisServer) -> None:
    with connect(RedisSettings(url=redis_server.url, socket_timeout=timedelta(milliseconds=300))) as hasty:
        until(lambda: _answers(hasty), 60, "it is connected")
        os.kill(redis_server.pid, signal.SIGSTOP)
        try:
            with pytest.raises(Transient, match="TimeoutError"):
                ping(hasty)
        finally:
            os.kill(redis_server.pid, signal.SIGCONT)


def _answers(client: Client) -> bool:
    try:
        ping(client)
    except Transient:
        return False
    return True


def test_a_full_redis_is_transient(client: Client) -> None:
    queue = WorkQueue(client, "t", horizon=timedelta(minutes=1))
    queue.notify([A])
    client.config_set("maxmemory", "1")
    try:
        with pytest.raises(Transient, match="OutOfMemory"):
            queue.notify([Key("ns", "b")])
    finally:
        client.config_set("maxmemory", "0")


def test_a_url_of_something_else_is_misconfigured() -> None:
    with pytest.raises(Misconfigured, match=r"redis\.url=http://x"):
        connect(RedisSettings(url="http://x"))


@pytest.mark.parametrize(
    ("policy", "limit", "refused"), [("allkeys-lru", "100mb", True), ("allkeys-random", "0", False)]
)
def test_a_redis_that_drops_keys_is_refused_at_the_start(
    redis_client: Client, redis_url: str, policy: str, limit: str, refused: bool
) -> None:
    redis_client.config_set("maxmemory-policy", policy)
    redis_client.config_set("maxmemory", limit)
    settings = parse_settings({"redis": {"url": redis_url}}, {}, {}).redis
    try:
        with pytest.raises(Misconfigured, match=policy) if refused else nullcontext():
            assert wait_for_redis(settings, threading.Event(), 60)
    finally:
        redis_client.config_set("maxmemory", "0")
        redis_client.config_set("maxmemory-policy", "noeviction")
    assert wait_for_redis(settings, threading.Event(), 60)
