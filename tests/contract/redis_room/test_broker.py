"""kombu's Redis transport with one client for each pool of connections."""

from __future__ import annotations

from typing import Any

from kombu.transport import redis as stock

from models.settings import parse_settings
from tasks.app import build_app


def _connection(redis_url: str) -> Any:
    return build_app(parse_settings({"redis": {"url": redis_url}}, {}, {})).connection_for_write()


def test_messages_share_a_client_and_arrive(redis_url: str, monkeypatch: Any) -> None:
    made: list[object] = []
    build: Any = stock.PrefixedStrictRedis.__init__

    def counted(client: object, *args: Any, **options: Any) -> None:
        made.append(client)
        build(client, *args, **options)

    monkeypatch.setattr(stock.PrefixedStrictRedis, "__init__", counted)
    with _connection(redis_url) as connection:
        queue = connection.SimpleQueue("broker-test")
        queue.put(0)
        before = len(made)
        for number in range(1, 20):
            queue.put(number)
        assert len(made) == before
        assert [queue.get(timeout=60).payload for _ in range(20)] == list(range(20))
        queue.close()


def test_new_pool_gets_a_new_client(redis_url: str) -> None:
    with _connection(redis_url) as connection:
        channel = connection.default_channel
        first = channel._create_client()
        assert channel._create_client() is first
        assert connection.as_uri().startswith("redis://"), "Flower knows a broker by it"
        channel._disconnect_pools()
        second = channel._create_client()
        assert second is not first
        assert second.connection_pool is channel.pool
        assert second.ping()
