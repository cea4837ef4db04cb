"""A limit for a whole exchange over HTTP, in seconds.

httpx limits each read by itself: an answer that comes drop by drop would hold a thread, which cannot be killed, for
ever.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tasks import clock

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


def limited_transport(deadline: Deadline) -> httpx.HTTPTransport:
    """Return a transport whose steps keep the deadline of their thread."""
    transport = httpx.HTTPTransport()
    # httpx has no parameter for it; its pool takes any backend of this shape.
    pool: Any = transport._pool
    pool._network_backend = _Backend(pool._network_backend, deadline)
    return transport


class _Backend:
    def __init__(self, backend: Any, deadline: Deadline) -> None:
        self._backend = backend
        self._deadline = deadline

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, **options: Any) -> _Stream:
        left = self._deadline.left(timeout)
        return _Stream(self._backend.connect_tcp(host, port, timeout=left, **options), self._deadline)


class _Stream:
    def __init__(self, stream: Any, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        received: bytes = self._stream.read(max_bytes, timeout=self._deadline.left(timeout))
        return received

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _PIECE):
            self._stream.write(buffer[start : start + _PIECE], timeout=self._deadline.left(timeout))

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> _Stream:
        left = self._deadline.left(timeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
