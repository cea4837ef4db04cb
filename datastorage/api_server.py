"""The Kubernetes API server as DataStorage needs it: two questions, asked over a connection of their own each time.

CA and token are read from their files each time, so that rotated ones are used at once. Raises Unanswered whenever
there is no clear answer.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import httpx
from prometheus_client import CollectorRegistry, Counter, Histogram

from datastorage.settings import KubernetesSettings

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_PATIENCE = timedelta(seconds=5)
_LONGEST_PATIENCE = 60  # seconds

log = logging.getLogger("datastorage.tokens")


class Question(StrEnum):
    """What can be asked, with its path below /apis."""

    TOKEN_REVIEW = "authentication.k8s.io/v1/tokenreviews"
    ACCESS_REVIEW = "authorization.k8s.io/v1/subjectaccessreviews"


class Fault(StrEnum):
    """Why there was no answer: the label of a metric, so there are only these."""

    FILES = "files"  # its CA or our token cannot be read
    CONNECTION = "connection"
    TIMEOUT = "timeout"
    REFUSED = "refused"  # 401 or 403: our own account
    THROTTLED = "throttled"
    ANSWER = "answer"  # any other


class Unanswered(Exception):
    """The API server did not say."""

    def __init__(self, fault: Fault, retry_after: timedelta = _PATIENCE) -> None:
        super().__init__(fault.value)
        self.fault = fault
        self.retry_after = retry_after


class ApiServer:
    """Asks one API server. Safe in several threads."""

    def __init__(self, settings: KubernetesSettings, registry: CollectorRegistry) -> None:
        self._settings = settings
        self._seconds = Histogram(
            "datastorage_token_review_duration_seconds",
            "One question to the API server, answered or not.",
            ["question"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._failed = Counter(
            "datastorage_token_review_failed_total",
            "Questions that the API server did not answer.",
            ["question", "reason"],
            registry=registry,
        )
        for question in Question:
            for fault in Fault:
                self._failed.labels(question.name.lower(), fault.value)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Give a connection for a few questions in a row. Raises Unanswered."""
        try:
            trusted = ssl.create_default_context(cadata=Path(self._settings.ca_file).read_text(encoding="ascii"))
            token = Path(self._settings.token_file).read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            log.error("the API server cannot be asked", extra={"fields": {"error": _files(error)}})
            self._failed.labels(Question.TOKEN_REVIEW.name.lower(), Fault.FILES.value).inc()
            raise Unanswered(Fault.FILES) from None
        with httpx.Client(
            base_url=self._settings.api_server,
            verify=trusted,
            timeout=self._settings.timeout.total_seconds(),
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,  # a token goes to the API server and to no proxy
        ) as client:
            yield Connection(client, self._seconds, self._failed)


class Connection:
    """A connection to the API server."""

    def __init__(self, client: httpx.Client, seconds: Histogram, failed: Counter) -> None:
        self._client = client
        self._seconds = seconds
        self._failed = failed

    def ask(self, question: Question, kind: str, spec: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the status of a review. Raises Unanswered."""
        group, version, _ = question.value.split("/")
        document = {"apiVersion": f"{group}/{version}", "kind": kind, "spec": spec}
        begun = time.perf_counter()
        try:
            return _status(_sent(self._client, f"/apis/{question.value}", document))
        except Unanswered as silent:
            self._failed.labels(question.name.lower(), silent.fault.value).inc()
            fields = {"question": kind, "reason": silent.fault.value}
            log.error("the API server did not answer", extra={"fields": fields})
            raise
        finally:
            self._seconds.labels(question.name.lower()).observe(time.perf_counter() - begun)


def _sent(client: httpx.Client, path: str, document: Mapping[str, Any]) -> httpx.Response:
    # Not chained anywhere: what is sent holds a token.
    try:
        return client.post(path, json=document)
    except httpx.TimeoutException:
        raise Unanswered(Fault.TIMEOUT) from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError):
        raise Unanswered(Fault.CONNECTION) from None


def _status(answer: httpx.Response) -> Mapping[str, Any]:
    match answer.status_code:
        case 200 | 201:
            pass
        case 401 | 403:
            raise Unanswered(Fault.REFUSED)
        case 429:
            raise Unanswered(Fault.THROTTLED, _retry_after(answer))
        case _:
            raise Unanswered(Fault.ANSWER, _retry_after(answer))
    try:
        status = answer.json()["status"]
    except (ValueError, KeyError, TypeError):
        raise Unanswered(Fault.ANSWER) from None
    if not isinstance(status, Mapping):
        raise Unanswered(Fault.ANSWER)
    return status


def _retry_after(answer: httpx.Response) -> timedelta:
    text = answer.headers.get("Retry-After", "")
    if not (text.isascii() and text.isdigit() and len(text) < 9):
        return _PATIENCE
    return timedelta(seconds=min(int(text), _LONGEST_PATIENCE))


def _files(error: Exception) -> str:
    """Say which file and why, nothing of what is in it."""
    named = getattr(error, "filename", None)
    return f"{named}: {type(error).__name__}" if named else f"its CA or our token: {type(error).__name__}"
