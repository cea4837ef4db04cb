"""Around every request: its id, its log line, its metrics."""

from __future__ import annotations

import logging
import re
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from datastorage.clock import Clock
from datastorage.metrics import Metrics

_HEADER = b"x-request-id"
_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_QUIET = ("/health", "/health/live", "/health/ready", "/metrics")

log = logging.getLogger("datastorage.request")


class RequestLog:
    """ASGI middleware. A route leaves what the log should say in `request.state.log`."""

    def __init__(self, app: ASGIApp, metrics: Metrics, clock: Clock) -> None:
        self._app = app
        self._metrics = metrics
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request and say how it went."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = self._request_id(scope)
        fields: dict[str, Any] = {}
        scope.setdefault("state", {})["log"] = fields
        status = 500
        start = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (_HEADER, request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - start
            self._tell(scope, status, seconds, {"request_id": request_id, **fields})

    def _request_id(self, scope: Scope) -> str:
        """Take the caller's id when it is harmless, else make one."""
        given = next((value.decode("latin-1") for name, value in scope["headers"] if name == _HEADER), "")
        return given if _ID.fullmatch(given) else str(self._clock.new_id())

    def _tell(self, scope: Scope, status: int, seconds: float, fields: dict[str, Any]) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        # Anybody can invent a method; a label must not grow with them.
        method = scope["method"] if route != "unmatched" else "any"
        self._metrics.requests.labels(method, route, str(status)).inc()
        self._metrics.request_seconds.labels(method, route).observe(seconds)
        level = logging.ERROR if status >= 500 else logging.DEBUG if route in _QUIET else logging.INFO
        outcome = {"method": scope["method"], "route": route, "status": status, "ms": round(seconds * 1000, 2)}
        log.log(level, "request", extra={"fields": {**outcome, **fields}})
