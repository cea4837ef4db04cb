"""DataStorage over HTTP: send a batch of audit events, and tell what a refusal means."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import httpx

from models.errors import Permanent, Transient
from tasks.adapters.bearer import Bearer

BATCH_PATH = "/api/v1/audit/events/batch"
_TRY_LATER = frozenset({401, 403, 404, 408, 425, 429})
"""Client errors that say nothing about the events: credentials, limits, a route that is not there yet."""


class AuditClient:
    """Sends batches; one connection pool, thread-safe."""

    def __init__(self, base_url: str, timeout: timedelta, token_file: str = "") -> None:
        self._client = httpx.Client(base_url=base_url, timeout=timeout.total_seconds(), auth=Bearer(token_file))

    def store(self, bodies: Sequence[bytes]) -> None:
        """Store all events or none. Success is 201 alone; events stored before are success too.

        Raises:
            Transient: no answer, 5xx, or a refusal that says nothing about the events (with Retry-After).
            Permanent: the batch is refused for what it is (400, 409) or for its size (413).
        """
        try:
            answer = self._client.post(
                BATCH_PATH, content=b"[" + b",".join(bodies) + b"]", headers={"Content-Type": "application/json"}
            )
        except httpx.HTTPError as fault:
            raise Transient(f"DataStorage did not answer: {type(fault).__name__}: {fault}"[:300]) from fault
        if answer.status_code == 201:
            return
        text = f"DataStorage answered {answer.status_code}: {answer.text[:500]}"
        if answer.status_code >= 500 or answer.status_code in _TRY_LATER or answer.status_code < 400:
            raise Transient(text, _retry_after(answer))
        raise Permanent(text)

    def query(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return one page of stored events. Raises Transient, Permanent."""
        try:
            answer = self._client.get("/api/v1/audit/events", params=parameters)
        except httpx.HTTPError as fault:
            raise Transient(f"DataStorage did not answer: {fault}") from fault
        if answer.status_code >= 500:
            raise Transient(f"DataStorage answered {answer.status_code}: {answer.text[:500]}")
        if answer.status_code != 200:
            raise Permanent(f"DataStorage answered {answer.status_code}: {answer.text[:500]}")
        page: dict[str, Any] = answer.json()
        return page


def _retry_after(answer: httpx.Response) -> timedelta | None:
    text = answer.headers.get("Retry-After", "")
    return timedelta(seconds=min(int(text), 3600)) if text.isascii() and text.isdigit() and len(text) < 9 else None
