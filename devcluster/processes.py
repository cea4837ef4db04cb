"""Start processes that die with the one that started them, and tell whether a recorded process still lives.

Linux only: PR_SET_PDEATHSIG and /proc.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
# Loaded here: between fork and exec nothing may be loaded.
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Process:
    """A process that cannot be mistaken for a later one with the same id: its start in clock ticks after boot."""

    pid: int
    started: int

    def alive(self) -> bool:
        """Tell whether exactly this process still runs."""
        return start_of(self.pid) == self.started


def start_of(pid: int) -> int | None:
    """Return when a process started, in clock ticks after boot; None when there is none or it is a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name before the last parenthesis may hold spaces and parentheses itself.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def identify(pid: int) -> Process:
    """Return the running process of that id."""
    return Process(pid, start_of(pid) or 0)


def spawn(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a process that the kernel kills when the calling thread ends; call it from the main thread only."""
    parent = os.getpid()

    def bind_to_parent() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # The parent may have died before prctl took effect.
        if os.getppid() != parent:
            os._exit(1)

    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=log.parent,
            # A Ctrl-C in the terminal is for the keeper, which stops them in their order.
            start_new_session=True,
            preexec_fn=bind_to_parent,  # noqa: PLW1509 - no thread holds a lock the hook could need
        )


def stop(running: Sequence[subprocess.Popen[bytes]], grace: float) -> None:
    """Ask processes to end and kill those that have not after `grace` seconds."""
    for process in running:
        if process.poll() is None:
            process.terminate()
    deadline = time.monotonic() + grace
    for process in running:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
        if process.poll() is None:
            process.kill()
            process.wait()


def end(process: Process, grace: float) -> None:
    """End a process that is not our child and wait until it is gone."""
    for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
        if not process.alive():
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
        deadline = time.monotonic() + seconds
        while process.alive() and time.monotonic() < deadline:
            time.sleep(0.02)


def log_end(path: Path, lines: int = 12) -> str:
    """Return the last lines of a log, empty when there is none."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - 16384))
            text = log.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
