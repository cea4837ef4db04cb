"""The way to DataStorage: a limit in seconds for a whole exchange, and whom its certificate may come from.

httpx limits each read by itself: an answer that comes drop by drop would hold a thread, which cannot be killed, for
ever. And it reads authorities once, before there is anything to connect to.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tasks import clock
from tasks.adapters.authorities import TRUST_NOBODY, Authorities

_PIECE = 65536
"""Bytes handed to one write: it is limited by itself, too, however many small steps it takes."""


class Deadline:
    """When the exchange of each thread has to be over."""

    def __init__(self) -> None:
        self._of_thread = threading.local()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Let every read and write of this thread end within so many seconds from now."""
        self._of_thread.at = clock.monotonic() + seconds
        try:
            yield
        finally:
            self._of_thread.at = None

    def left(self, timeout: float | None) -> float | None:
        """Return how long the next step may take. Raises ReadTimeout when nothing is left."""
        at = getattr(self._of_thread, "at", None)
        if at is None:
            return timeout
        left: float = at - clock.monotonic()
        if left <= 0:
            raise httpx.ReadTimeout("the exchange took too long")
        return left if timeout is None else min(left, timeout)


def limited_transport(deadline: Deadline, authorities: Authorities) -> httpx.HTTPTransport:
    """Return a transport whose steps keep the deadline of their thread, and whose handshakes read the authorities.

    What is sent over it raises Untrusted besides what httpx raises.
    """
    transport = httpx.HTTPTransport(verify=TRUST_NOBODY)
    # httpx has no parameter for it; its pool takes any backend of this shape.
    pool: Any = transport._pool
    pool._network_backend = _Backend(pool._network_backend, deadline, authorities)
    return transport


class _Backend:
    def __init__(self, backend: Any, deadline: Deadline, authorities: Authorities) -> None:
        self._backend = backend
        self._deadline = deadline
        self._authorities = authorities

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, **options: Any) -> _Stream:
        left = self._deadline.left(timeout)
        stream = self._backend.connect_tcp(host, port, timeout=left, **options)
        return _Stream(stream, self._deadline, self._authorities)


class _Stream:
    def __init__(self, stream: Any, deadline: Deadline, authorities: Authorities) -> None:
        self._stream = stream
        self._deadline = deadline
        self._authorities = authorities

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        received: bytes = self._stream.read(max_bytes, timeout=self._deadline.left(timeout))
        return received

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _PIECE):
            self._stream.write(buffer[start : start + _PIECE], timeout=self._deadline.left(timeout))

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> _Stream:
        try:
            ssl_context = self._authorities.context()
            secured = self._stream.start_tls(ssl_context, server_hostname, self._deadline.left(timeout))
        except Exception as error:
            self.close()  # nobody else would
            refusal = self._authorities.refusal(error)
            if refusal is None:
                raise
            raise refusal from error
        return _Stream(secured, self._deadline, self._authorities)

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
