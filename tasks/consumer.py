"""The consumer of a worker, patient with a Redis that answers and does not work.

A replica takes no writes, nor does a server whose disk is full. Celery connects to it again at once, some six times a
second for as long as that lasts, each time with a traceback. Here it waits in between, longer each time, and says so in
one line: at the first try, the second, the fourth, the eighth, …
"""

from __future__ import annotations

import logging
import warnings
from time import sleep
from typing import Any

from celery.exceptions import CPendingDeprecationWarning
from celery.worker.consumer import Consumer as CelerysConsumer
from celery.worker.consumer import consumer as celerys

from tasks import clock

FIRST_WAIT, LONGEST_WAIT = 0.1, 1.0
"""Seconds. Who waits longer takes no task although Redis is well again; a signal to end is heeded after the wait."""
CALM = 5.0
"""Seconds after which trouble is new trouble, and not the same that goes on."""

log = logging.getLogger(__name__)


class Consumer(CelerysConsumer):  # type: ignore[misc]
    """Celery's, with a growing wait before it connects again."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Celery warns at each lost connection of a default that it may change; ours is set.
        warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)
        self._tries = 0
        self._tried_at = 0.0

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Wait before Celery connects again, after what it does about requests that are under way."""
        super().on_connection_error_after_connected(exc)
        self._tries = self._tries + 1 if clock.monotonic() < self._tried_at + CALM else 1
        wait = min(FIRST_WAIT * 2 ** min(self._tries - 1, 10), LONGEST_WAIT)
        if self._tries & (self._tries - 1) == 0:
            fault = f"{type(exc).__name__}: {exc}"
            log.warning("Redis lost or does not work, try %d in %.1f s: %s", self._tries, wait, fault)
        sleep(wait)
        self._tried_at = clock.monotonic()


def _told_in_our_words(record: logging.LogRecord) -> bool:
    return bool(record.msg != celerys.CONNECTION_RETRY)


celerys.logger.addFilter(_told_in_our_words)
