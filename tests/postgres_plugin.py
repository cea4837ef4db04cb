"""A private PostgreSQL server for tests: made with initdb, on a free loopback port, gone with the test process.

PostgreSQL refuses to run as root; then it runs as the user `postgres` that the distribution's package makes. Without
a server on the machine a test skips, and fails when CI is set.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from devcluster.ports import free_ports
from tests.policy import require

_START_SECONDS = 90.0


class PostgresServer:
    """One server process and its data directory; it can be killed and started again on the same port."""

    def __init__(self, binaries: Path, directory: Path, *, durable: bool = False) -> None:
        # None that an outgoing connection could take while the server is stopped.
        [self.port] = free_ports("127.0.0.1", 1)
        self._binaries = binaries
        self._data = directory / "data"
        self._log = directory / "log"
        self._password = secrets.token_hex(8)
        self._fsync = "on" if durable else "off"
        self._process: subprocess.Popen[bytes] | None = None
        self._user = _unprivileged_user()
        if self._user is not None:
            os.chown(directory, pwd.getpwnam(self._user).pw_uid, -1)
        password_file = directory / "password"
        password_file.write_text(self._password)
        subprocess.run(
            [binaries / "initdb", "-D", self._data, "-U", "tester", "-E", "UTF8", "--locale=C", "--no-sync",
             "-A", "scram-sha-256", f"--pwfile={password_file}"],
            check=True, capture_output=True, cwd="/", **self._identity(),
        )  # fmt: skip

    def url(self, database: str = "postgres") -> str:
        """Return the URL of one database, with credentials."""
        return f"postgresql://tester:{self._password}@127.0.0.1:{self.port}/{database}"

    def start(self, *, file_size: int = 0) -> None:
        """Start the server and return when it answers; no file may become larger than `file_size` bytes, if given."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": self._fsync,
            "max_connections": 60,
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*_limited(file_size), *_die_with_parent(), self._binaries / "postgres", "-D", self._data, *options],
                stdout=log, stderr=log, cwd="/", **self._identity(),
            )  # fmt: skip
        self._wait()

    def kill(self) -> None:
        """End every process of the server at once, as a power cut would."""
        # SIGQUIT is the immediate shutdown: children die without a word, the next start recovers from the log.
        self._end(signal.SIGQUIT)

    def stop(self) -> None:
        """Shut down, closing connections."""
        self._end(signal.SIGINT)

    def create_database(self, name: str) -> str:
        """Make an empty database and return its URL."""
        self._execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, ending whoever is connected."""
        self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _execute(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement.encode())

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(_START_SECONDS)
            self._process = None

    def _identity(self) -> dict[str, Any]:
        if self._user is None:
            return {}
        return {"user": self._user, "group": pwd.getpwnam(self._user).pw_gid, "extra_groups": []}

    def _wait(self) -> None:
        import psycopg

        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=2).close()
                return
            except psycopg.OperationalError as error:
                if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL did not start:\n{self._log.read_text()[-2000:]}") from error
            time.sleep(0.05)


def new_server(*, durable: bool = False) -> PostgresServer:
    """Make a server of its own for the caller, not yet started; skips, or fails in CI, when there is none."""
    binaries = find_binaries()
    require(binaries is not None, "a PostgreSQL server (package postgresql)")
    assert binaries is not None
    directory = Path(tempfile.mkdtemp(prefix="wfe-postgres-"))
    return PostgresServer(binaries, directory, durable=durable)


def discard(server: PostgresServer) -> None:
    """Stop a server and remove its data."""
    server.kill()
    shutil.rmtree(server._data.parent, ignore_errors=True)


@contextmanager
def running_server() -> Iterator[PostgresServer]:
    """Start a server of one's own and discard it at the end."""
    server = new_server()
    try:
        server.start()
        yield server
    finally:
        discard(server)


def find_binaries() -> Path | None:
    """Return the directory of the newest server: of the distribution's packages, or on PATH."""
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if packaged:
        return packaged[-1].parent
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Share one running server among all tests of a process."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres_server: PostgresServer) -> str:
    """Return the URL of a database that all tests of a process share; whoever writes brings its own schema."""
    return postgres_server.url()


def _unprivileged_user() -> str | None:
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _limited(file_size: int) -> list[str]:
    # POSIX counts in blocks of 512 bytes.
    return ["sh", "-c", f'ulimit -f {file_size // 512} && exec "$@"', "sh"] if file_size else []


def _die_with_parent() -> list[str]:
    # A killed test process must leave no server behind; Linux tells the server, where setpriv is there to ask for it.
    return ["setpriv", "--pdeathsig", "QUIT", "--"] if shutil.which("setpriv") else []
