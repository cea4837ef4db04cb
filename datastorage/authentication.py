"""Lets a request of the audit API pass when its bearer token has the right that it needs.

Health, metrics and the OpenAPI document ask for no token.
"""

from __future__ import annotations

import re

from anyio import CapacityLimiter, to_thread
from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from datastorage.callers import Callers, Reason, Refused, Right
from datastorage.metrics import Metrics
from datastorage.problems import Problem, respond
from datastorage.token_file import BEARER_TOKEN

_READING_POSTS = ("/verify-chain", "/checkpoints")
_HOLDS = "/holds"
"""Whatever is sent to it, or below it, sets or lifts a hold. What else is sent writes, also what is not there yet."""

_CREDENTIALS = re.compile(rf"bearer +({BEARER_TOKEN}) *", re.IGNORECASE)
_LONGEST = 16_384  # characters; tokens of a cluster have one or two thousand
_ASKING = 4  # threads that wait for an answer about a token
_WAITING = 100  # requests that wait for one of those threads


class Bearer:
    """ASGI middleware around everything below `base`."""

    def __init__(self, app: ASGIApp, base: str, callers: Callers, metrics: Metrics) -> None:
        self._app = app
        self._base = base
        self._callers = callers
        self._metrics = metrics
        self._asking = CapacityLimiter(_ASKING)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it with its body unread."""
        if scope["type"] == "http" and scope["path"].startswith(self._base):
            request = Request(scope)
            try:
                request.state.log["caller"] = await self._caller(request)
            except Refused as refused:
                self._metrics.refused[refused.reason].inc()
                request.state.log["refused"] = refused.reason.value
                if refused.caller:
                    request.state.log["caller"] = refused.caller
                await respond(_problem(refused), request)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _caller(self, request: Request) -> str:
        token, right = _token(request), self._right(request)
        name = self._callers.remembered(token, right)
        if name is not None:
            return name
        if self._asking.statistics().tasks_waiting >= _WAITING:
            raise Refused(Reason.UNAVAILABLE, "too many tokens are being looked at; try again later")
        return await to_thread.run_sync(self._callers.admit, token, right, limiter=self._asking)

    def _right(self, request: Request) -> Right:
        # By the path as it is routed: a URL that is put together from headers may say something else.
        path = request.scope["path"].removeprefix(self._base)
        if request.method in ("GET", "HEAD") or (request.method == "POST" and path in _READING_POSTS):
            return Right.READ
        return Right.HOLD if path == _HOLDS or path.startswith(f"{_HOLDS}/") else Right.WRITE


def _token(request: Request) -> str:
    given = request.headers.getlist("authorization")
    if not given:
        raise Refused(Reason.MISSING, "a bearer token is needed")
    found = _CREDENTIALS.fullmatch(given[0]) if len(given) == 1 and len(given[0]) <= _LONGEST else None
    if found is None:
        raise Refused(Reason.MALFORMED, "one header `Authorization: Bearer TOKEN` is needed")
    return found[1]


def _problem(refused: Refused) -> Problem:
    match refused.reason:
        case Reason.UNAVAILABLE:
            headers = {"Retry-After": str(max(1, round(refused.retry_after.total_seconds())))}
            return Problem("authentication-unavailable", 503, refused.detail, headers=headers)
        case Reason.FORBIDDEN:
            return Problem("forbidden", 403, refused.detail)
        case Reason.MISSING | Reason.MALFORMED | Reason.UNKNOWN:
            return Problem("unauthorized", 401, refused.detail, headers={"WWW-Authenticate": "Bearer"})
