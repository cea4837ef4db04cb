"""Start a scripted Tekton as a process of its own, so that it takes no time from its caller's interpreter."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

READY: Final = "ready"
STOP_SECONDS: Final = 20.0


class StartError(Exception):
    """The process ended before it was ready; the message is what it said last."""


@dataclass(frozen=True, slots=True)
class Handle:
    """A running scripted Tekton."""

    process: subprocess.Popen[str]

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self.process.pid

    def stop(self) -> None:
        """End the process; a second call does nothing."""
        self.process.terminate()
        try:
            self.process.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()


def start(kubeconfig: Path | str, *, namespace: str | None = None, fast: bool = False, threads: int = 8) -> Handle:
    """Start playing the runs of a cluster and return when those that are there have been listed.

    The process ends by itself when the caller does, even by kill -9.

    Raises:
        StartError: it did not start.
    """
    command = [sys.executable, "-m", "devcluster.scripted", "--kubeconfig", str(kubeconfig), "--threads", str(threads)]
    command += ["--until-eof", *(["--namespace", namespace] if namespace else []), *(["--fast"] if fast else [])]
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None, text=True, bufsize=1
    )
    assert process.stdout is not None
    if process.stdout.readline().strip() != READY:
        process.communicate()
        raise StartError(f"the scripted Tekton ended with exit code {process.returncode} before it was ready")
    return Handle(process)
