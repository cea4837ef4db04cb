"""Actors that run real code and hand the baton back at every port call, so that one seed fixes every interleaving.

Each actor is a thread, and only the one with the baton runs. A crash is an exception that nothing in production
catches; after it every further call of the dead process (its `finally` blocks) has no effect.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol


class Crashed(BaseException):
    """The process was killed here."""


Around = Callable[["Actor", str, Callable[[], Any]], Any]


class Actor:
    """A thread that runs one job at a time and stops before each port call."""

    def __init__(self, name: str, around: Around) -> None:
        self.name = name
        self.busy = False
        self.dead = False
        self.doing = ""
        self.paused_until = 0
        self.frozen = False
        self.error: BaseException | None = None
        self._around = around
        self._job: Callable[[], None] | None = None
        self._mine = threading.Lock()
        self._back = threading.Lock()
        self._mine.acquire()
        self._back.acquire()
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)
        self._thread.start()

    def begin(self, doing: str, job: Callable[[], None]) -> None:
        """Give the actor a job; it starts with the next `go`."""
        self.busy, self.dead, self.doing, self._job = True, False, doing, job

    def go(self) -> None:
        """Let the actor run up to its next port call, or to the end of its job."""
        self._mine.release()
        self._back.acquire()

    def wait(self) -> None:
        """Called in the actor's thread: hand the baton back."""
        self._back.release()
        self._mine.acquire()

    def kill(self) -> None:
        """Crash the process where it stands."""
        if self.busy:
            self.dead = True
            self.go()

    def end(self) -> None:
        """End the thread."""
        while self.busy:
            self.kill()
        self._job = None
        self._mine.release()
        self._thread.join(60)

    def port(self, name: str, real: Any) -> Any:
        """Return an object that does what `real` does, with a stop before each call."""
        return Port(self, name, real)

    def call(self, label: str, function: Callable[[], Any]) -> Any:
        """Make one port call: a stop, then the effect, unless the process dies before or after it."""
        return self._around(self, label, function)

    def _live(self) -> None:
        while True:
            self._mine.acquire()
            if self._job is None:
                return
            try:
                self._job()
            except Crashed:
                pass
            except BaseException as error:  # noqa: BLE001 - the scheduler raises it in its own thread
                self.error = error
            self.busy = False
            self._back.release()


class Caller(Protocol):
    """Who makes port calls."""

    def call(self, label: str, function: Callable[[], Any]) -> Any: ...


class Port:
    """One port of one process."""

    def __init__(self, actor: Caller, name: str, real: Any) -> None:
        self._actor, self._name, self._real = actor, name, real

    def __getattr__(self, method: str) -> Any:
        inner, label, actor = getattr(self._real, method), f"{self._name}.{method}", self._actor
        if not callable(inner):
            return inner

        def call(*args: Any, **named: Any) -> Any:
            return actor.call(f"{label}{_short(args)}", lambda: inner(*args, **named))

        return call


def _short(args: tuple[Any, ...]) -> str:
    text = ", ".join(a.rpartition("/")[2] if isinstance(a, str) else str(a)[:60] for a in args[:3])
    return f"({text[:150]})"
