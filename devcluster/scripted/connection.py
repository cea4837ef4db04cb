"""Speak JSON with the API server: one keep-alive connection a thread, over the kubeconfig's client certificate.

Bare `http.client`, because a request through a full client costs two to three times its CPU and the player shares the
machine with what it is played for.
"""

from __future__ import annotations

import base64
import http.client
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
import yaml

REQUEST_TIMEOUT: Final = 10.0  # seconds
BUSY_TRIES: Final = 50
BUSY_SECONDS: Final = 0.1
MERGE_PATCH: Final = "application/merge-patch+json"
_BROKEN: Final = (http.client.HTTPException, OSError)


class ConfigurationError(Exception):
    """A kubeconfig that cannot be used; the message is one line."""


class Refused(Exception):
    """The API server answered with an error."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status


@dataclass(frozen=True, slots=True)
class Server:
    """Where the API server is and how it is spoken to."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    headers: Mapping[str, str]

    @classmethod
    def read(cls, kubeconfig: Path) -> Server:
        """Read the current context of a kubeconfig.

        Raises:
            ConfigurationError: missing, or without what is needed.
        """
        try:
            document = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
            context = _named(document, "contexts", "context", document["current-context"])
            cluster = _named(document, "clusters", "cluster", context["cluster"])
            user = _named(document, "users", "user", context["user"])
            address = urlsplit(cluster["server"])
        except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
            raise ConfigurationError(f"kubeconfig {kubeconfig}: {' '.join(str(error).split())}") from error
        headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
        tls = _tls(kubeconfig.parent, cluster, user) if address.scheme == "https" else None
        port = address.port or (443 if tls else 80)
        return cls(address.hostname or "", port, tls, headers)

    def connect(self, timeout: float) -> http.client.HTTPConnection:
        """Return a connection that is opened by its first request; `timeout` in seconds, for each read."""
        if self.tls is None:
            return http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        return http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=self.tls)


class Client:
    """Requests to one API server; thread-safe, a connection a thread."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._local = threading.local()
        self._opened: list[http.client.HTTPConnection] = []

    def close(self) -> None:
        """Close the connections of all threads."""
        while self._opened:
            self._opened.pop().close()

    def request(self, method: str, path: str, body: object = None, content_type: str = "application/json") -> Any:
        """Send one request and return the JSON answer.

        A request on a kept connection that the server has closed is sent once more, so it may arrive twice. One that is
        refused with 429 was not looked at (a CRD that is just being served) and is sent again for a while.

        Raises:
            Refused: any answer of 400 or above.
            OSError, http.client.HTTPException: no answer.
        """
        for _ in range(BUSY_TRIES):
            try:
                return self._send(method, path, body, content_type)
            except Refused as refused:
                if refused.status != http.HTTPStatus.TOO_MANY_REQUESTS:
                    raise
                time.sleep(BUSY_SECONDS)
        return self._send(method, path, body, content_type)

    def _send(self, method: str, path: str, body: object, content_type: str) -> Any:
        content = None if body is None else orjson.dumps(body)
        headers = {**self._server.headers, "Content-Type": content_type} if content else dict(self._server.headers)
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is not None:
            try:
                return self._exchange(connection, method, path, content, headers)
            except _BROKEN:
                connection.close()
                self._opened.remove(connection)
        fresh = self._server.connect(REQUEST_TIMEOUT)
        self._local.connection = fresh
        self._opened.append(fresh)
        return self._exchange(fresh, method, path, content, headers)

    def stream(self, path: str, read_timeout: float) -> Iterator[dict[str, Any]]:
        """Yield the watch events of a path until the server ends the stream (`read_timeout` in seconds).

        Raises:
            Refused: the stream was not opened.
            OSError, http.client.HTTPException: broken, or silent for longer than the timeout.
        """
        connection = self._server.connect(read_timeout)
        try:
            connection.request("GET", path, headers=dict(self._server.headers))
            answer = connection.getresponse()
            if answer.status >= 400:
                raise _refused(answer.status, answer.read())
            while line := answer.readline():
                yield orjson.loads(line)
        finally:
            connection.close()

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        content: bytes | None,
        headers: dict[str, str],
    ) -> Any:
        connection.request(method, path, content, headers)
        answer = connection.getresponse()
        received = answer.read()
        if answer.status >= 400:
            raise _refused(answer.status, received)
        return orjson.loads(received)


def _refused(status: int, body: bytes) -> Refused:
    try:
        document = orjson.loads(body)
        return Refused(status, document.get("reason") or "", (document.get("message") or "")[:300])
    except (orjson.JSONDecodeError, AttributeError):
        return Refused(status, "", body[:300].decode(errors="replace"))


def _named(document: Mapping[str, Any], plural: str, singular: str, name: str) -> Mapping[str, Any]:
    for entry in document[plural]:
        if entry["name"] == name:
            found: Mapping[str, Any] = entry[singular]
            return found
    raise KeyError(f"{plural} has no {name!r}")


def _tls(folder: Path, cluster: Mapping[str, Any], user: Mapping[str, Any]) -> ssl.SSLContext:
    """Build the TLS context: the cluster's authority verified, the user's certificate presented."""
    with tempfile.TemporaryDirectory() as scratch:
        authority = _file(folder, Path(scratch), cluster, "certificate-authority")
        context = ssl.create_default_context(cafile=authority)
        certificate = _file(folder, Path(scratch), user, "client-certificate")
        if certificate is not None:
            context.load_cert_chain(certificate, _file(folder, Path(scratch), user, "client-key"))
    return context


def _file(folder: Path, scratch: Path, entry: Mapping[str, Any], key: str) -> Path | None:
    if f"{key}-data" in entry:
        path = scratch / key
        path.touch(mode=0o600)
        path.write_bytes(base64.b64decode(entry[f"{key}-data"]))
        return path
    return folder / entry[key] if key in entry else None
