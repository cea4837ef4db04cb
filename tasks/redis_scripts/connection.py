"""Connect to Redis, and turn what its library raises into the errors of this project.

No command is repeated by the library: a script whose answer was lost may have run. The caller gets Transient, and
the sweep finds what was left half-way.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from models.errors import Misconfigured, Transient
from models.settings import RedisSettings

Client = redis.Redis

_HEALTH_CHECK_SECONDS = 30
_MESSAGE_LIMIT = 200


def connect(settings: RedisSettings) -> Client:
    """Return a client; threads may share it, and it connects at its first command.

    Raises:
        Misconfigured: the URL is none of Redis.
    """
    timeout = settings.socket_timeout.total_seconds()
    try:
        return redis.Redis.from_url(
            settings.connection_url(),
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            socket_keepalive=True,
            health_check_interval=_HEALTH_CHECK_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError as error:
        raise Misconfigured(f"redis.url={settings.url}: {error}") from error


@contextmanager
def translated() -> Iterator[None]:
    """Raise every error of Redis as Transient: it is away, loading, full, read-only or refuses us for now."""
    try:
        yield
    except redis.RedisError as error:
        text = str(error)[:_MESSAGE_LIMIT]
        raise Transient(f"Redis: {type(error).__name__}: {text}") from error


def ping(client: Client) -> None:
    """Ask Redis whether it answers. Raises Transient."""
    with translated():
        client.ping()


def refuse_eviction(client: Client) -> None:
    """Refuse a Redis that makes room by dropping keys: a hold without expiry would be lost while its gate is open.

    Raises:
        Misconfigured: it may evict keys that do not expire.
        Transient: it does not answer.
    """
    with translated():
        memory: Any = client.info("memory")
    policy = str(memory.get("maxmemory_policy"))
    if memory.get("maxmemory") and policy.startswith("allkeys"):
        raise Misconfigured(f"this Redis drops keys when it is full (maxmemory-policy {policy}); allowed is noeviction")
