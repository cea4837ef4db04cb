"""The task that sends buffered audit events to DataStorage, one worker at a time."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta

from models.errors import Transient
from tasks import clock
from tasks.adapters.datastorage import FAILED, FORBIDDEN, UNAUTHORIZED, UNTRUSTED, NotStored
from tasks.app import FLUSH, app
from tasks.delivery import deliver
from tasks.metrics import SERVICE
from tasks.parts import Parts, draw_jitter, worker_parts

log = logging.getLogger(__name__)

MARGIN = timedelta(seconds=20)
"""A flusher that died keeps others out for the longest request and so much longer."""

LONGEST = 60.0
"""Seconds after which a flusher begins no further request; a longer backlog goes on in the next turn."""


class TurnOver(Exception):
    """This flusher has to stop. `ours` says that it lasted long enough, not that another one has taken its place."""

    def __init__(self, *, ours: bool) -> None:
        super().__init__()
        self.ours = ours


@app.task(name=FLUSH)
def flush_task() -> None:
    """Send what the outbox holds; a second flusher finds the turn taken and goes."""
    flush(worker_parts())


def flush(parts: Parts) -> None:
    """Take a turn and deliver. A DataStorage that cannot answer puts off the next turn for all workers."""
    if not parts.outbox.flush_allowed():
        return
    lasts = parts.settings.audit.timeout + MARGIN
    token = parts.outbox.flush_turn(lasts)
    if token is None:
        return
    try:
        _deliver_batches(parts, _Turn(parts, token, lasts))
    except TurnOver as over:
        if over.ours:
            parts.publisher.flush_soon()
    except Transient as fault:
        _put_off(parts, fault)
    finally:
        parts.outbox.end_turn(token)


class _Turn:
    """DataStorage for as long as the turn is ours: whoever was paused for too long sends nothing more.

    What a request of his that is under way already stores is stored once all the same.
    """

    def __init__(self, parts: Parts, token: str, lasts: timedelta) -> None:
        self._parts = parts
        self._token = token
        self._lasts = lasts
        self._until = clock.monotonic() + LONGEST

    def store(self, bodies: Sequence[bytes]) -> None:
        if clock.monotonic() > self._until:
            raise TurnOver(ours=True)
        if not self._parts.outbox.keep_turn(self._token, self._lasts):
            raise TurnOver(ours=False)
        began = clock.monotonic()
        self._parts.audit.store(bodies)
        self._parts.metrics.audit_write_time.labels(SERVICE).observe(clock.monotonic() - began)


def _deliver_batches(parts: Parts, turn: _Turn) -> None:
    whole = parts.settings.audit.batch_size
    troubled = parts.outbox.trouble().failures
    # A batch that is too much for DataStorage now must not be tried for ever as it is.
    size = max(1, whole >> max(troubled - 1, 0))
    while items := parts.outbox.take(size):
        for part in deliver(items, turn, parts.outbox):
            if troubled:
                parts.outbox.flush_succeeded()
                troubled = 0
            parts.metrics.audit_written.labels(SERVICE).inc(part.stored)
            parts.metrics.audit_dropped.labels(SERVICE).inc(part.refused)
            parts.publisher.wake(part.keys)
        if len(items) < size:
            return
        size = whole
    if troubled:
        parts.outbox.flush_succeeded()


def _put_off(parts: Parts, fault: Transient) -> None:
    """Let all workers wait. Nobody sleeps: whoever is asked to flush before finds it put off and goes."""
    cause = fault.cause if isinstance(fault, NotStored) else FAILED
    parts.metrics.audit_failed.labels(SERVICE).inc()
    parts.metrics.audit_put_off.labels(SERVICE, cause).inc()
    wait = parts.outbox.delay_flush(fault.retry_after, abs(draw_jitter()), str(fault))
    # Who is not let in, or finds a stranger, has to be told so: that does not end by itself.
    level = logging.ERROR if cause in (UNAUTHORIZED, FORBIDDEN, UNTRUSTED) else logging.WARNING
    log.log(level, "audit events wait %.1f s in the outbox: %s", wait.total_seconds(), fault)
