"""Who may write and who may read: bearer tokens from a file, each with a name and its rights.

A line of the file is `NAME RIGHTS TOKEN`, RIGHTS being read, write or read,write. Only hashes of tokens are kept.
Health, metrics and the OpenAPI document ask for none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from datastorage.problems import Problem, respond
from models.errors import Misconfigured

_SHORTEST = 20  # characters; a token is guessed, not chosen
_WRITES = ("/events", "/events/batch")


class Right(StrEnum):
    """What a token allows. Reading includes verification, export and checkpoints: they change no event."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a token stands for."""

    name: str
    rights: frozenset[Right]


Callers = Mapping[bytes, Caller]
"""Callers by the SHA-256 of their tokens."""


def read_tokens(path: str) -> Callers:
    """Read a token file. Raises Misconfigured, naming the line but nothing of what is in it."""
    name = f"server.token_file={path}"
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise Misconfigured(f"{name}: allowed is a readable file") from None
    callers: dict[bytes, Caller] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        words = line.split()
        rights = frozenset(words[1].split(",")) if len(words) == 3 else frozenset[str]()
        if not rights or not rights <= set(Right):
            raise Misconfigured(f"{name}, line {number}: allowed is NAME read|write|read,write TOKEN")
        digest = sha256(words[2].encode()).digest()
        if len(words[2]) < _SHORTEST or digest in callers:
            raise Misconfigured(
                f"{name}, line {number}: allowed is a token of its own of {_SHORTEST} characters or more"
            )
        callers[digest] = Caller(words[0], frozenset(Right(right) for right in rights))
    if not callers:
        raise Misconfigured(f"{name}: allowed is a file with at least one token")
    return callers


class Bearer:
    """ASGI middleware: lets a request below `base` pass when its token has the right that it needs."""

    def __init__(self, app: ASGIApp, base: str, callers: Callers) -> None:
        self._app = app
        self._base = base
        self._callers = callers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it with its body unread."""
        if scope["type"] == "http" and scope["path"].startswith(self._base):
            request = Request(scope)
            refusal = self._refusal(request)
            if refusal is not None:
                await respond(refusal, request)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, request: Request) -> Problem | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        caller = self._callers.get(sha256(token.strip().encode()).digest()) if scheme.lower() == "bearer" else None
        if caller is None:
            headers = {"WWW-Authenticate": "Bearer"}
            return Problem("unauthorized", 401, "a bearer token that is known here is needed", headers=headers)
        request.state.log["caller"] = caller.name
        writes = request.method == "POST" and request.url.path.removeprefix(self._base) in _WRITES
        needed = Right.WRITE if writes else Right.READ
        if needed not in caller.rights:
            return Problem("forbidden", 403, f"the token of {caller.name} does not have the right to {needed}")
        return None
