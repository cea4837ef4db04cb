"""Answers that come in parts: made in threads, few at once, and always closed, also when the client has left."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from anyio import CancelScope, CapacityLimiter, Semaphore, to_thread
from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

AT_ONCE = 2


class Streams:
    """The few places for answers in parts; each needs a database connection as long as it lasts."""

    def __init__(self) -> None:
        self._places = Semaphore(AT_ONCE)
        self._threads = CapacityLimiter(AT_ONCE)

    async def respond(self, parts: Iterator[bytes], media_type: str) -> Response:
        """Answer with the parts. What the first raises becomes an answer of its own, before any header has gone."""
        await self._places.acquire()
        try:
            first = await self._next(parts)
        except BaseException:
            self._places.release()
            raise
        return _Parts(self, first, parts, media_type)

    async def _next(self, parts: Iterator[bytes]) -> bytes | None:
        return await to_thread.run_sync(next, parts, None, limiter=self._threads)

    async def body(self, first: bytes | None, parts: Iterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the parts."""
        part = first
        while part is not None:
            yield part
            part = await self._next(parts)

    async def end(self, parts: Iterator[bytes]) -> None:
        """Close what makes the parts, which gives its connection back, and free the place."""
        with CancelScope(shield=True):
            try:
                await to_thread.run_sync(getattr(parts, "close", bool), limiter=self._threads)
            finally:
                self._places.release()


class _Parts(StreamingResponse):
    def __init__(self, streams: Streams, first: bytes | None, parts: Iterator[bytes], media_type: str) -> None:
        super().__init__(streams.body(first, parts), media_type=media_type)
        self._streams = streams
        self._making = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._streams.end(self._making)
