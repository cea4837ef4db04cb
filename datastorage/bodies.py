"""Reading a request body: its size is refused before its content is looked at, its JSON before its meaning."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from fastapi import Request

from datastorage.problems import Problem
from models.audit_fields import BODY_BYTES


async def read_body(request: Request) -> bytes:
    """Return the whole body. Raises Problem 413 as soon as it is known to be too large."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > BODY_BYTES:
        raise _too_large()
    body = bytearray()
    # A chunked body has no declared length: count what comes.
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES:
            raise _too_large()
    return bytes(body)


def parse_json(body: bytes) -> Any:
    """Read JSON (RFC 8259: UTF-8, no NaN); integers of any size stay exact. Raises Problem 400."""
    try:
        return json.loads(body.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        place = f" at line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise Problem("invalid-json", 400, f"the body is not valid JSON{place}") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _too_large() -> Problem:
    return Problem("request-too-large", 413, f"the body must not be larger than {BODY_BYTES} bytes")
