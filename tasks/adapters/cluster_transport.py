"""Requests to the API server over a connection pool: bytes in, bytes out. Durations in seconds, as urllib3 wants them.

Knows no Kubernetes object. Thread-safe; make it after a fork, never before.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType

import urllib3
from urllib3.exceptions import HTTPError, ProtocolError, ReadTimeoutError

from models.errors import Transient
from models.names import COMPONENT
from tasks.adapters.cluster_errors import clean, refusal

CREDENTIAL_AGE = 10.0  # seconds; the official client would otherwise look at its token's file or expiry on every call
_READ = 65536

log = logging.getLogger(__name__)


class Credentials:
    """The Authorization header, renewed by one thread at a time while the others go on with the last one."""

    def __init__(self, renew: Callable[[], str | None], monotonic: Callable[[], float]) -> None:
        self._renew = renew
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._value = renew()
        self._until = monotonic() + CREDENTIAL_AGE

    def value(self) -> str | None:
        """Return the header's value, None when the client certificate alone speaks for us."""
        if self._value is not None and self._monotonic() >= self._until and self._lock.acquire(blocking=False):
            try:
                self._value = self._renew()
            except Transient as error:
                log.warning("going on with the last credentials: %s", error)
            finally:
                self._until = self._monotonic() + CREDENTIAL_AGE
                self._lock.release()
        return self._value


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whole."""

    code: int
    headers: Mapping[str, str]
    body: bytes


class Transport:
    """One API server as a connection pool, a path prefix and credentials."""

    def __init__(self, pool: urllib3.HTTPConnectionPool, prefix: str, credentials: Credentials) -> None:
        self._pool = pool
        self._prefix = prefix
        self._credentials = credentials

    def send(self, method: str, target: str, body: bytes | None, content_type: str, seconds: float) -> Answer:
        """Send one request and read the whole answer. Raises Transient when there was none.

        A GET whose kept connection turns out to be closed is sent once more: the server closes idle ones at will.
        """
        try:
            return self._once(method, target, body, content_type, seconds)
        except ProtocolError as error:
            if method != "GET":
                raise unreachable(f"{method} {target}", error) from error
        except (HTTPError, OSError) as error:
            raise unreachable(f"{method} {target}", error) from error
        try:
            return self._once(method, target, body, content_type, seconds)
        except (HTTPError, OSError) as error:
            raise unreachable(f"{method} {target}", error) from error

    def stream(self, target: str, connect_seconds: float, read_seconds: float) -> Stream:
        """Open a GET whose answer is read line by line. Raises what `refusal` says when the server says no."""
        request = f"GET {target}"
        timeout = urllib3.Timeout(connect=connect_seconds, read=read_seconds)
        try:
            response = self._pool.urlopen(
                "GET",
                self._prefix + target,
                headers=self._headers(""),
                retries=False,
                timeout=timeout,
                preload_content=False,
            )
            if response.status == 200:
                return Stream(response, request)
            body = response.read(_READ)
            response.close()
        except (HTTPError, OSError) as error:
            raise unreachable(request, error) from error
        raise refusal("GET", target, response.status, response.headers, body)

    def _once(self, method: str, target: str, body: bytes | None, content_type: str, seconds: float) -> Answer:
        response = self._pool.urlopen(
            method,
            self._prefix + target,
            body=body,
            headers=self._headers(content_type),
            retries=False,
            timeout=seconds,
        )
        return Answer(response.status, response.headers, response.data)

    def _headers(self, content_type: str) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": COMPONENT}
        if content_type:
            headers["Content-Type"] = content_type
        authorization = self._credentials.value()
        if authorization is not None:
            headers["Authorization"] = authorization
        return headers


class Stream:
    """The lines of an answer that goes on. `close` may be called from any thread and ends a waiting read."""

    def __init__(self, response: urllib3.BaseHTTPResponse, request: str) -> None:
        self._response = response
        self._request = request
        self._closed = False

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
        self._response.close()

    def __iter__(self) -> Iterator[bytes]:
        """Yield whole lines; ends at a clean end or after `close`. A line cut off by the end is dropped.

        Raises Transient when the connection breaks or stays silent longer than the read timeout.
        """
        rest = b""
        try:
            for chunk in self._chunks():
                lines = (rest + chunk).split(b"\n")
                rest = lines.pop()
                yield from (line for line in lines if line)
        except (HTTPError, OSError, ValueError, AttributeError) as error:
            # urllib3 answers a shutdown from another thread with whatever its half-torn state runs into.
            if self._closed:
                return
            if isinstance(error, (ValueError, AttributeError)):
                raise
            raise unreachable(self._request, error) from error

    def close(self) -> None:
        """End the stream: the reading thread, if any, sees its end."""
        if self._closed:
            return
        self._closed = True
        try:
            self._response.shutdown()
        except (RuntimeError, ValueError, OSError):
            return  # already ended, and the connection given back

    def _chunks(self) -> Iterator[bytes]:
        if getattr(self._response, "chunked", False):
            yield from self._response.stream(_READ, decode_content=False)
            return
        while chunk := self._response.read1(_READ, decode_content=False):
            yield chunk


def unreachable(request: str, error: Exception) -> Transient:
    """Return what a caller sees when the server did not answer."""
    kind = "timed out" if isinstance(error, (ReadTimeoutError, TimeoutError)) else "no answer"
    return Transient(clean(f"{request}: {kind}: {type(error).__name__}: {error}"))
