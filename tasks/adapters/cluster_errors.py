"""What the API server's refusals mean to a caller. Pure: a status, headers and a body in, an error out.

Messages are cut to 500 characters and never hold credentials, nor what the asker wants hidden.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

import orjson

from models.confidential import without
from models.errors import Conflict, ExecutorError, Permanent, Transient

MESSAGE_MAX = 500
_TOO_LARGE = ("etcdserver: request is too large", "trying to send message larger than max")
"""What etcd and its client say of an object above 1.5 MiB; the API server passes it on as a 500 without a reason."""

_SECRET = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}|(?<=//)[^/@\s]+@")


class AlreadyExists(Conflict):
    """An object of that name is there already (POST answered 409 AlreadyExists)."""


class Vanished(Conflict):
    """The object to change is gone: look again."""


class ResourceAbsent(Permanent):
    """The API server does not know this type: its CRD is not installed."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="ResourceAbsent")


class Expired(Transient):
    """The asked resourceVersion or continue token is too old, or from ahead of this server: list again."""


def read_status(body: bytes) -> dict[str, Any]:
    """Return the `Status` object of an answer; empty when the body is something else (a proxy's page, plain text)."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) and document.get("kind") == "Status" else {}


def refusal(
    method: str, path: str, code: int, headers: Mapping[str, str], body: bytes, hidden: Iterable[str] = ()
) -> ExecutorError:
    """Return the error for an answer that is not a success; `hidden` are values that it must not quote."""
    status = read_status(body)
    text = status.get("message") or body[:MESSAGE_MAX].decode("utf-8", "replace").strip()
    return status_error(f"{method} {path}", code, status, text, _retry_after(headers, status), hidden)


def status_error(
    request: str,
    code: int,
    status: Mapping[str, Any],
    text: str = "",
    retry_after: timedelta | None = None,
    hidden: Iterable[str] = (),
) -> ExecutorError:
    """Return the error for a `Status`, whether it came as an answer or as the ERROR of a watch."""
    reason = str(status.get("reason") or "")
    whole = f"{request}: {code} {reason}: {text or status.get('message') or ''}".rstrip(": ")
    message = clean(without(whole, hidden))  # before it is cut, which may be in the midst of a value
    if code == 409:
        return AlreadyExists(message) if reason == "AlreadyExists" else Conflict(message)
    if code == 404:
        return _absence(request, status, message)
    if code == 410 or _too_large_version(status):
        return Expired(message)
    if any(words in whole for words in _TOO_LARGE):
        return Permanent(message, reason="RequestEntityTooLarge")
    if code in (401, 408, 425, 429) or code >= 500:
        return Transient(message, retry_after or _retry_after({}, status))
    return Permanent(message, reason or f"HTTP{code}", said=whole)


def clean(text: str) -> str:
    """Cut a message and blank out what looks like a credential."""
    return _SECRET.sub("[hidden]", text.replace("\n", " "))[:MESSAGE_MAX]


def _absence(request: str, status: Mapping[str, Any], message: str) -> ExecutorError:
    # Only the handler of a known type names what it missed; an unknown path is answered by the mux, in plain text.
    details = status.get("details") or {}
    if not (details.get("name") or details.get("kind")):
        return ResourceAbsent(message)
    return Permanent(message, reason="NotFound") if request.startswith("POST ") else Vanished(message)


def _too_large_version(status: Mapping[str, Any]) -> bool:
    causes = (status.get("details") or {}).get("causes") or ()
    return any(cause.get("reason") == "ResourceVersionTooLarge" for cause in causes if isinstance(cause, dict))


def _retry_after(headers: Mapping[str, str], status: Mapping[str, Any]) -> timedelta | None:
    text = headers.get("Retry-After") or (status.get("details") or {}).get("retryAfterSeconds") or ""
    try:
        seconds = float(text)
    except (TypeError, ValueError):
        return None  # an HTTP date: the API server never sends one
    return timedelta(seconds=min(seconds, 3600)) if seconds > 0 else None
