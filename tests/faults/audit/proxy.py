"""A proxy between the executor and DataStorage that goes wrong where a test says so, one request at a time.

It speaks as much HTTP/1.1 as the two do: bodies with a length, one request after the other on a connection. What a
request meets is taken from a list; when that is empty, requests and answers pass as they are.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Stage(StrEnum):
    """Where an exchange goes wrong."""

    BEFORE = "before it is forwarded"
    BODY = "in the middle of the body"
    AFTER = "after it was done, before the answer"
    ANSWER = "in the middle of the answer"


class Act(StrEnum):
    """What happens there, apart from an answer."""

    FIN = "closed"
    RST = "reset"
    HANG = "silent"
    HOLD = "held back"
    DRIP = "drop by drop"


@dataclass(frozen=True)
class Says:
    """An answer that is not DataStorage's own."""

    code: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"<html>somebody on the way</html>"

    def encoded(self) -> bytes:
        told = {"Content-Length": str(len(self.body)), **self.headers}
        head = [f"HTTP/1.1 {self.code} Said", *(f"{name}: {value}" for name, value in told.items()), "", ""]
        return "\r\n".join(head).encode() + self.body


@dataclass(frozen=True)
class Fault:
    """What one request meets."""

    stage: Stage
    what: Act | Says

    def __str__(self) -> str:
        return f"{self.what.code if isinstance(self.what, Says) else self.what} {self.stage}"


class Over(Exception):
    """This connection is over."""


_DROP_SECONDS = 0.02
_PATIENCE_SECONDS = 60


class FaultProxy:
    """Listens on a free loopback port; `upstream` is the port behind it, which may change.

    `outcomes` are what each request met and what DataStorage answered to it, None when it did not get that far;
    `forwarded` counts the requests that DataStorage has in full. A body of more than `largest` bytes, if given, is too
    much for it. What is held back goes on once `go_on` is set.
    """

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.outcomes: list[tuple[Fault | None, int | None]] = []
        self.forwarded = 0
        self.largest = 0
        self.go_on = threading.Event()
        self._faults: deque[Fault] = deque()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def then(self, *faults: Fault) -> None:
        """Let the next requests meet these, one each."""
        self._faults.extend(faults)

    @property
    def spent(self) -> bool:
        """Say whether every fault was met."""
        return not self._faults

    def close(self) -> None:
        """Close every connection and wait until nobody is served any more."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(_PATIENCE_SECONDS)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(_PATIENCE_SECONDS)
            self._open.add(connection)
            self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            while True:
                self._exchange(connection)
        except (Over, OSError):
            pass
        finally:
            self._open.discard(connection)
            connection.close()

    def _exchange(self, connection: socket.socket) -> None:
        head, body = _read_head(connection)
        fault = self._faults.popleft() if self._faults else None
        place = len(self.outcomes)
        self.outcomes.append((fault, None))
        length = _length(head)
        if fault is not None and fault.stage is Stage.BODY:
            body += _read(connection, length // 2 - len(body))
            with self._upstream() as behind:
                behind.sendall(head + body)
                if isinstance(fault.what, Act):
                    _happen(connection, fault.what, b"")
        body += _read(connection, length - len(body))
        if self.largest and length > self.largest:
            _happen(connection, Says(503), b"")
            return
        if fault is not None and fault.stage in (Stage.BEFORE, Stage.BODY):
            _happen(connection, fault.what, b"")
            return
        with self._upstream() as behind:
            behind.sendall(head + body)
            self.forwarded += 1
            answer_head, answer = _read_head(behind)
            answer += _read(behind, _length(answer_head) - len(answer))
        self.outcomes[place] = (fault, int(answer_head.split(b" ", 2)[1]))
        whole = answer_head + answer
        if fault is None:
            connection.sendall(whole)
            return
        half = len(answer_head) + len(answer) // 2 if fault.stage is Stage.ANSWER else 0
        connection.sendall(whole[:half])
        if fault.what is Act.HOLD:
            self.go_on.wait(_PATIENCE_SECONDS)
            connection.sendall(whole[half:])
            return
        _happen(connection, fault.what, whole[half:])
        if half and isinstance(fault.what, Says):
            raise Over  # what was said is not where an answer begins

    @contextlib.contextmanager
    def _upstream(self) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.upstream), timeout=_PATIENCE_SECONDS) as behind:
            self._open.add(behind)
            try:
                yield behind
            finally:
                self._open.discard(behind)


def _happen(connection: socket.socket, what: Act | Says, rest: bytes) -> None:
    """Let it go wrong; `rest` is what was still to be sent. Raises Over where the connection is over by that."""
    match what:
        case Says():
            connection.sendall(what.encoded())
            return
        case Act.RST:
            # Closing with nothing to linger for sends a reset.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        case Act.HANG:
            while connection.recv(65536):
                pass
        case Act.DRIP:
            # A head that never ends, where there is no answer yet.
            for drop in rest or b"HTTP/1.1 201 Created\r\n" + b"X-Drop: drop\r\n" * 10_000:
                connection.sendall(bytes([drop]))
                time.sleep(_DROP_SECONDS)
            return
        case Act.FIN | Act.HOLD:
            pass
    raise Over


def _read_head(connection: socket.socket) -> tuple[bytes, bytes]:
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65536)
        if not piece:
            raise Over
        received += piece
    head, end, body = received.partition(b"\r\n\r\n")
    return head + end, body


def _read(connection: socket.socket, length: int) -> bytes:
    received = bytearray()
    while len(received) < length:
        piece = connection.recv(min(length - len(received), 65536))
        if not piece:
            raise Over
        received += piece
    return bytes(received)


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    raise ValueError(f"no length in {head!r}")
