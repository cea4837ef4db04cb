"""Make keys due and kick a worker: the one way in which anybody asks for a pass."""

from __future__ import annotations

from collections.abc import Iterable

from celery import Celery
from kombu.exceptions import OperationalError

from models.errors import Transient
from models.keys import Key
from tasks import clock
from tasks.app import EVENTS, FLUSH, RECONCILE, RESYNC, RESYNC_TASK, TIMERS, WAKE
from tasks.redis_scripts.queue import Kick, WorkQueue

_COVERED = 0.8
"""The share of the interval in which an event is surely buffered before the flush that was asked for reads it."""


class Publisher:
    """Sends kicks through Celery. Thread-safe; raises Transient when Redis is away.

    A kick that is not sent after its key became due is found by the sweep, so nothing is lost by an error here.
    """

    def __init__(self, celery: Celery, queue: WorkQueue) -> None:
        self._celery = celery
        self._queue = queue
        self._flush_covered = float("-inf")

    def wake(self, keys: Iterable[Key], *, hot: bool = True) -> None:
        """Make keys due now. Keys of a resync are not hot: they travel behind live ones."""
        wanted = list(keys)
        if wanted:
            self.kick(self._queue.notify(wanted), hot=hot)

    def remind(self, keys: Iterable[Key]) -> None:
        """Make keys due that nobody asked for: one that backs off from a failure keeps its instant."""
        self.kick(self._queue.remind(keys))

    def kick(self, kicks: Iterable[Kick], *, hot: bool = True) -> None:
        """Send messages for keys that are due already, or will be after a delay."""
        for kick in kicks:
            if kick.delay:
                self._send(WAKE, TIMERS, str(kick.key), kick.delay.total_seconds())
            else:
                self._send(RECONCILE, EVENTS if hot else RESYNC, str(kick.key))

    def flush_soon(self) -> None:
        """Ask for a flush of the outbox after the interval in which events gather company.

        A message of this process that is still to come takes along what was buffered before it; the backstop is a tick.
        """
        interval = self._celery.conf.wfe.audit.flush_interval.total_seconds()
        now = clock.monotonic()
        if now >= self._flush_covered:
            self._send(FLUSH, None, None, interval)
            self._flush_covered = now + _COVERED * interval

    def resync(self) -> None:
        """Ask for a resync: after a start, a change of leader, or when Redis came back empty."""
        self._send(RESYNC_TASK, None, None)

    def _send(self, name: str, queue: str | None, argument: str | None, countdown: float | None = None) -> None:
        arguments = () if argument is None else (argument,)
        try:
            self._celery.send_task(name, args=arguments, queue=queue, countdown=countdown, retry=False)
        except OperationalError as fault:
            raise Transient(f"Redis took no message: {fault}") from fault
