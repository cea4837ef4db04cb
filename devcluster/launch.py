"""Start the keeper of one cluster and wait for its word; remove what a cluster leaves.

Whoever calls these holds the lock of the cluster's name.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from devcluster import processes, recipes, records
from devcluster.places import DevclusterError
from devcluster.records import Phase, Record, Request

STOP_GRACE: Final = 25.0
_START_TIMEOUT: Final = 120.0

Owned = tuple[subprocess.Popen[bytes], int]
"""The keeper as a child, and the end of the pipe that is held open while the caller lives."""


def launch(directory: Path, request: Request, *, detach: bool) -> tuple[Record, Owned | None]:
    """Start a cluster in a directory and return what it is, and what ends it when it is not detached.

    Raises:
        DevclusterError: it does not start; the message ends with the log of what failed.
    """
    remove(directory, keep_logs=False)
    shutil.rmtree(records.kept_logs(directory), ignore_errors=True)
    records.logs(directory).mkdir(parents=True, mode=0o700)
    directory.chmod(0o700)
    records.write_request(directory, request)
    child, pipe = _spawn_keeper(directory, detach=detach)
    try:
        record = _await(child, directory)
    except BaseException:
        processes.stop([child], STOP_GRACE)
        if pipe is not None:
            os.close(pipe)
        remove(directory, keep_logs=True)
        raise
    return record, (child, pipe) if pipe is not None else None


def _spawn_keeper(directory: Path, *, detach: bool) -> tuple[subprocess.Popen[bytes], int | None]:
    command = [sys.executable, "-m", "devcluster.keeper", str(directory)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(recipes.HERE.parent), *_python_path()])}
    reading, writing = (None, None) if detach else os.pipe()
    if reading is not None:
        command += ["--owner", str(reading)]
    with (records.logs(directory) / "keeper.log").open("wb") as log:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            pass_fds=[] if reading is None else [reading],
        )
    if reading is not None:
        os.close(reading)
    return child, writing


def _python_path() -> list[str]:
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]


def _await(child: subprocess.Popen[bytes], directory: Path) -> Record:
    """Wait until the keeper says that the cluster is ready."""
    deadline = time.monotonic() + _START_TIMEOUT
    while time.monotonic() < deadline:
        record = records.read(directory)
        if record is not None and record.phase is Phase.READY:
            return record
        if record is not None and record.phase is Phase.FAILED:
            raise DevclusterError(record.message)
        if child.poll() is not None:
            end = processes.log_end(records.logs(directory) / "keeper.log")
            raise DevclusterError(f"the cluster's keeper ended with code {child.returncode}:\n{end}")
        time.sleep(0.02)
    raise DevclusterError(f"the cluster is not ready after {_START_TIMEOUT:.0f} s")


def remove(directory: Path, *, keep_logs: bool) -> None:
    """End what still runs of a cluster and remove its directory."""
    if not directory.exists():
        return
    record = records.read(directory)
    for process in record.components.values() if record else ():
        processes.end(process, 0.0)
    records.discard(directory, keep_logs=keep_logs)
    shutil.rmtree(directory, ignore_errors=True)
