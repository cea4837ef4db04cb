"""Find where the development cluster keeps what it builds and what it runs.

Binaries are shared by every cluster of a user; the state of one cluster lives in a directory of its own.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class DevclusterError(Exception):
    """Say in one line what keeps the cluster from running, and what to do."""


class UsageError(DevclusterError):
    """Say in one line which option or setting is wrong."""


class Busy(DevclusterError):
    """Say that another process holds a lock that was asked for without waiting."""


def cache_root() -> Path:
    """Return the directory of everything this project caches for the user."""
    if chosen := os.environ.get("WFE_CACHE_DIR"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "kubernaut-executor"


def build_root() -> Path:
    """Return the directory of the built binaries."""
    return cache_root() / "devcluster"


def state_root() -> Path:
    """Return the directory that holds one directory for each running cluster."""
    chosen = os.environ.get("WFE_STATE_DIR")
    return (Path(chosen) if chosen else cache_root() / "state") / "devcluster"


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold an exclusive lock on a file; the kernel drops it when the process ends, however it ends.

    Raises:
        Busy: somebody else holds it and `wait` is false.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("a") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError as error:
                raise Busy(f"{path} is locked by another process") from error
            # Whoever held it before may have removed the file; a lock on a removed file keeps nobody out.
            if not _is_file(handle.fileno(), path):
                continue
            yield
            return


def _is_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
