"""The Redis transport of kombu with one client a connection in place of one a command.

It stands behind the URLs `redis` and `rediss` in place of the stock one, because Flower knows a broker by its URL.
kombu 5.6 builds a new `redis.Redis` around the same pool for whatever it sends: a tenth of a busy worker's time. A
client holds no state of its own, and threads may share it. To be removed when a release keeps it.
"""

from __future__ import annotations

from typing import Any

from kombu import transport
from kombu.transport import redis


class Channel(redis.Channel):
    """Keeps the client of its pool of connections; a new pool, after a lost connection, gets a new one."""

    _kept: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous=True)  # type: ignore[no-untyped-call]
        if self._kept is None or self._kept.connection_pool is not self.pool:
            self._kept = super()._create_client()  # type: ignore[no-untyped-call]
        return self._kept


class Transport(redis.Transport):
    """`redis` and `rediss` with that channel."""

    Channel = Channel


def install() -> None:
    """Let this process use it; before its first connection."""
    transport.TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), "tasks.broker:Transport"))
