"""A private Redis for tests: started once, without persistence, on a free loopback port, and killed at the end.

Fixtures: `redis_server` (to stop and restart it), `redis_url`, and `redis_client`, which finds an empty server.
Every tier loads this: what is heavy is imported where it is used.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from devcluster.ports import free_ports
from tests.policy import require

if TYPE_CHECKING:
    import redis

_DEADLINE_SECONDS = 60.0


class RedisServer:
    """One redis-server process of ours."""

    def __init__(self, executable: str, directory: Path) -> None:
        self._executable = executable
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        # None that an outgoing connection could take while the server is stopped.
        [self.port] = free_ports("127.0.0.1", 1)
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it and wait until it answers; it is empty, for nothing is ever saved."""
        options = {"port": str(self.port), "bind": "127.0.0.1", "save": "", "appendonly": "no"}
        command = [self._executable, *(word for name, value in options.items() for word in (f"--{name}", value))]
        with (self._directory / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self._directory, stdout=log, stderr=log)
        self._wait_until_it_answers()

    @property
    def pid(self) -> int:
        """Return its process id."""
        assert self._process is not None, "Redis is stopped"
        return self._process.pid

    def stop(self) -> None:
        """Kill it, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Kill it and start it again, empty."""
        self.stop()
        self.start()

    def _wait_until_it_answers(self) -> None:
        import redis

        deadline = time.monotonic() + _DEADLINE_SECONDS
        with redis.Redis.from_url(self.url) as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.ConnectionError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.02)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Start the server of this test run."""
    executable = shutil.which("redis-server")
    require(executable, "redis-server is not installed")
    assert executable is not None
    server = RedisServer(executable, tmp_path_factory.mktemp("redis"))
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def redis_url(redis_server: RedisServer) -> str:
    """Return where the server listens."""
    return redis_server.url


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[redis.Redis]:
    """Return a client of an empty server."""
    import redis

    with redis.Redis.from_url(redis_url, socket_timeout=60) as client:
        client.flushall()
        yield client
