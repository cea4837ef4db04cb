"""DataStorage over HTTP: send a batch of audit events, and tell what an answer means for them.

Only DataStorage itself can say that an event is bad, and it says so with a problem document (RFC 9457). What anything
on the way to it answers (a proxy, a gateway, the wrong service) says nothing about an event, whatever its number is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from models.errors import Permanent, Transient
from tasks import clock
from tasks.adapters.authorities import Authorities, Untrusted
from tasks.adapters.bearer import Bearer
from tasks.adapters.cluster_errors import clean
from tasks.adapters.deadline import Deadline, limited_transport

BATCH_PATH = "/api/v1/audit/events/batch"
PROBLEMS = "https://kubernaut.ai/problems/"

UNAUTHORIZED, FORBIDDEN, UNTRUSTED = "unauthorized", "forbidden", "untrusted"
BUSY, FAILED, UNANSWERED = "busy", "failed", "unanswered"
CAUSES = (UNAUTHORIZED, FORBIDDEN, UNTRUSTED, BUSY, FAILED, UNANSWERED)
"""Why events were not stored although nothing is said against them: a closed set, for a label."""

_CAUSE_OF = {401: UNAUTHORIZED, 403: FORBIDDEN, 408: BUSY, 425: BUSY, 429: BUSY, 503: BUSY}
_SPLIT = frozenset({400, 409, 413, 422})
"""Answers that may be about one event of many, or about how many there are."""
_BAD_EVENT = frozenset({"validation-error", "invalid-json", "event-conflict", "request-too-large"})
"""Problems that are about the events and stay, whenever they are sent."""
_ANSWER_BYTES = 262_144
"""More is not read of an answer; the longest that means something has 500 ids, or all bad fields of one event."""
_LONGEST_WAIT = timedelta(hours=1)


class NotStored(Transient):
    """Nothing was said about the events: send them again later. `cause` is one of CAUSES."""

    def __init__(self, message: str, cause: str, retry_after: timedelta | None = None) -> None:
        super().__init__(message, retry_after)
        self.cause = cause


class Refused(Permanent):
    """DataStorage will not take these events as they are; `problem` is its problem document, empty without one."""

    def __init__(self, message: str, problem: Mapping[str, Any]) -> None:
        super().__init__(message, str(problem.get("type") or "Unknown").removeprefix(PROBLEMS))
        self.problem = problem


class AuditClient:
    """Sends batches; one connection pool, thread-safe."""

    def __init__(self, base_url: str, timeout: timedelta, token_file: str = "", ca_file: str = "") -> None:
        self._seconds = timeout.total_seconds()
        self._deadline = Deadline()
        self._client = httpx.Client(
            base_url=base_url,
            timeout=self._seconds,
            auth=Bearer(token_file),
            transport=limited_transport(self._deadline, Authorities(ca_file)),
            headers={"Accept-Encoding": "identity"},
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def store(self, bodies: Sequence[bytes]) -> None:
        """Store all events or none. Success is 201 that names as many; events stored before are success too.

        Raises:
            NotStored: no whole answer in time, or one that says nothing about the events (with Retry-After).
            Refused: this many cannot be sent at once, or one of them is bad; of a single event, that it is.
        """
        headers = {"Content-Type": "application/json"}
        try:
            with (
                self._deadline.within(self._seconds),
                self._client.stream(
                    "POST", BATCH_PATH, content=b"[" + b",".join(bodies) + b"]", headers=headers
                ) as got,
            ):
                content = _read(got)
        except Untrusted as fault:
            raise NotStored(clean(str(fault)), UNTRUSTED) from fault
        except Transient as fault:
            raise NotStored(str(fault), UNAUTHORIZED) from fault  # there is no token to send
        except httpx.HTTPError as fault:
            raise NotStored(
                clean(f"DataStorage did not answer: {type(fault).__name__}: {fault}"), UNANSWERED
            ) from fault
        _judge(got, content, len(bodies))

    def query(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return one page of stored events. Raises Transient, Permanent."""
        try:
            with self._deadline.within(self._seconds):
                answer = self._client.get("/api/v1/audit/events", params=parameters)
        except httpx.HTTPError as fault:
            raise Transient(f"DataStorage did not answer: {fault}") from fault
        if answer.status_code >= 500:
            raise Transient(f"DataStorage answered {answer.status_code}: {answer.text[:500]}")
        if answer.status_code != 200:
            raise Permanent(f"DataStorage answered {answer.status_code}: {answer.text[:500]}")
        page: dict[str, Any] = answer.json()
        return page


def _judge(answer: httpx.Response, content: bytes, sent: int) -> None:
    """Return when the events are stored; raise NotStored or Refused."""
    code, document = answer.status_code, _document(content)
    if code == 201:
        named = document.get("event_ids")
        if isinstance(named, list) and len(named) == sent:
            return
        raise NotStored(f"DataStorage answered 201 but did not name the {sent} events", FAILED)
    slug = str(document.get("type") or "").removeprefix(PROBLEMS)
    known = slug if slug != document.get("type") else ""
    told = str(document.get("detail")) if known else content[:500].decode(errors="replace")
    words = f"DataStorage answered {code} {known}".rstrip() + f": {told}"
    text = clean(words.encode(errors="replace").decode())
    if code in _SPLIT and (sent > 1 or known in _BAD_EVENT):
        raise Refused(text, document if known else {})
    raise NotStored(text, _CAUSE_OF.get(code, FAILED), retry_after(answer.headers, clock.now()))


def _read(answer: httpx.Response) -> bytes:
    content = b""
    for piece in answer.iter_raw():
        content += piece
        if len(content) > _ANSWER_BYTES:
            return content[:_ANSWER_BYTES]
    return content


def _document(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def retry_after(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """Return how long the other side asks to wait, at most an hour: seconds, or a date by its own clock (RFC 9110)."""
    text = headers.get("Retry-After", "")
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(int(text[:9]), _LONGEST_WAIT.total_seconds()))
    at, its_now = _http_date(text), _http_date(headers.get("Date", ""))
    return min(max(at - (its_now or now), timedelta()), _LONGEST_WAIT) if at is not None else None


def _http_date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)
