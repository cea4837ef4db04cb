"""The `datastorage` command as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.postgres_plugin import PostgresServer, discard, new_server

DEADLINE_SECONDS = 90.0
_WAYS = {
    "DATASTORAGE_SERVER_TOKEN_FILE",
    "DATASTORAGE_SERVER_ALLOW_UNAUTHENTICATED",
    "DATASTORAGE_KUBERNETES_TOKEN_REVIEW",
}


class Process:
    """A `datastorage` process; its log is read as it comes. Where nothing says who may ask, this machine may."""

    def __init__(
        self,
        arguments: tuple[str, ...],
        environ: dict[str, str],
        directory: Path,
        program: tuple[str, ...] = ("-m", "datastorage"),
    ) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("DATASTORAGE_")}
        if not environ.keys() & _WAYS:
            inherited["DATASTORAGE_SERVER_ALLOW_UNAUTHENTICATED"] = "true"
        self.process = subprocess.Popen(
            [sys.executable, *program, *arguments],
            env={**inherited, **environ},
            cwd=directory,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    def logged(self, message: str) -> dict[str, Any]:
        """Wait for a log line and return it."""

        def find() -> dict[str, Any] | None:
            lines = (json.loads(line) for line in self.lines if line.startswith("{"))
            return next((line for line in lines if line["message"].startswith(message)), None)

        line: dict[str, Any] = eventually(find, lambda: f"no line {message!r} in:\n" + "\n".join(self.lines))
        return line

    @property
    def url(self) -> str:
        """Return where it listens, once it says so."""
        url: str = self.logged("listening")["url"]
        return url

    def wait(self) -> int:
        """Wait for its end and return its exit code."""
        code = self.process.wait(DEADLINE_SECONDS)
        self._reader.join()
        return code

    def terminate(self) -> int:
        """Ask it to stop and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def close(self) -> None:
        """End it, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()


def eventually(look: Callable[[], Any], complaint: Callable[[], str] = lambda: "in vain") -> Any:
    """Look until something is seen, and return it."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        if seen := look():
            return seen
        time.sleep(0.02)
    raise AssertionError(complaint())


Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return a starter of processes; `url` is the database, other keywords are further settings."""
    processes: list[Process] = []

    def begin(*arguments: str, url: str = f"sqlite:///{tmp_path}/audit.db", **settings: str) -> Process:
        environ = {f"DATASTORAGE_{name.upper()}": value for name, value in settings.items()}
        process = Process(arguments, {"DATASTORAGE_DATABASE_URL": url, **environ}, tmp_path)
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.close()


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """Return a PostgreSQL server that the test may kill; it is not started yet."""
    server = new_server()
    yield server
    discard(server)


def event(number: int, **changes: Any) -> dict[str, Any]:
    """Return a valid event of now."""
    return {
        "event_id": str(UUID(int=number)),
        "version": "1.0",
        "event_type": "workflow.started",
        "event_timestamp": datetime.now(UTC).isoformat(),
        "event_category": "workflow",
        "event_action": "started",
        "event_outcome": "success",
        "correlation_id": "rr-1",
        "event_data": {"attempt": 1},
        **changes,
    }


def total(url: str) -> int:
    """Return how many events are stored."""
    answer = httpx.get(f"{url}/api/v1/audit/events", params={"limit": 1}, timeout=30)
    return int(answer.raise_for_status().json()["pagination"]["total"])
