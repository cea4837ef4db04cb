"""A sign of life of a worker: when it asked the broker for messages last, in a file that a probe can read.

Never `inspect ping`, which costs every worker a reply and leaks reply keys in Redis. Seconds of the monotonic clock,
which all processes of one machine share. While Redis is away nothing is written, so the probe is patient beyond that.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from celery import bootsteps

from tasks import clock

WRITE_EVERY = 5.0
LONGEST_SILENCE = 150.0
"""Above two minutes, so that a Redis that is restarted does not make everybody restart every worker."""


class HeartbeatFile(bootsteps.StartStopStep):  # type: ignore[misc]
    """Runs in the consumer's event loop: each turn of it polls the broker, and a timer of it writes."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        path = consumer.app.conf.wfe.celery.heartbeat_file
        self._path = Path(path) if path else None
        self._polled_at = clock.monotonic()
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        """Begin to note polls; after a lost connection again."""
        if self._path is None or consumer.hub is None:
            return
        consumer.hub.on_tick.add(self._polled)
        self._polled()
        self._write()
        self._timer = consumer.timer.call_repeatedly(WRITE_EVERY, self._write)

    def stop(self, consumer: Any) -> None:
        """Write no more: the consumer ends, or connects anew."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _polled(self) -> None:
        self._polled_at = clock.monotonic()

    def _write(self) -> None:
        assert self._path is not None
        draft = self._path.with_name(f"{self._path.name}.new")
        draft.write_text(f"{self._polled_at:.3f}\n", encoding="ascii")
        draft.replace(self._path)
