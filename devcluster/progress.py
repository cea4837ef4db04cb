"""Show that a long build goes on: what is built, for how long, how long it usually takes, what it compiles now.

On a terminal one line is rewritten each second; elsewhere (a log) a line is added every quarter of a minute.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

_TERMINAL_EVERY: Final = 1.0
_LOG_EVERY: Final = 15.0


class Progress:
    """Tell the steps of one piece of work that takes `usual` seconds on two cores."""

    def __init__(self, title: str, usual: int, say: Callable[[str], None]) -> None:
        """Prepare; nothing is shown before the work starts."""
        self._title = title
        self._usual = usual
        self._say = say
        self._terminal = sys.stderr.isatty()
        self._compiled = 0
        self._now = ""
        self._started = time.monotonic()
        self._ended = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="build progress", daemon=True)

    def __enter__(self) -> Self:
        """Start the clock."""
        self._started = time.monotonic()
        self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the clock and say how long it took."""
        self._ended.set()
        self._ticker.join()
        if self._terminal:
            sys.stderr.write("\r\033[K")
        verdict = "failed after" if kind else "done in"
        self._say(f"{self._title}: {verdict} {_clock(time.monotonic() - self._started)}")

    def follow(self, running: subprocess.Popen[str]) -> list[str]:
        """Read the packages that `go build -v` names until it ends; return what else it said."""
        said: list[str] = []
        assert running.stderr is not None
        for line in running.stderr:
            text = line.strip()
            self._now = text.removeprefix("go: ")
            if text.startswith("go: downloading "):
                continue
            if " " in text or ":" in text:
                said.append(text)
            else:
                self._compiled += 1
        running.wait()
        return said

    def _tick(self) -> None:
        while not self._ended.wait(_TERMINAL_EVERY if self._terminal else _LOG_EVERY):
            elapsed = _clock(time.monotonic() - self._started)
            line = f"{self._title}: {elapsed} (usually {_clock(self._usual)})"
            if self._compiled:
                line += f", {self._compiled} packages compiled"
            if self._terminal:
                sys.stderr.write(f"\r\033[K{line}, {self._now}"[:120])
                sys.stderr.flush()
            else:
                self._say(line)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
