"""The task that sends buffered audit events to DataStorage, one worker at a time."""

from __future__ import annotations

import logging
from datetime import timedelta

from models.errors import Transient
from tasks import clock
from tasks.app import FLUSH, app
from tasks.delivery import deliver
from tasks.metrics import SERVICE
from tasks.parts import Parts, draw_jitter, worker_parts

log = logging.getLogger(__name__)

TURN = timedelta(seconds=60)
"""How long a flusher that died keeps others out."""

BATCHES = 20
"""Batches of one turn; a longer backlog goes on in the next, so that no task runs for minutes."""


@app.task(name=FLUSH)
def flush_task() -> None:
    """Send what the outbox holds; a second flusher finds the turn taken and goes."""
    flush(worker_parts())


def flush(parts: Parts) -> None:
    """Take a turn and deliver. A DataStorage that cannot answer puts off the next turn for all workers."""
    if not parts.outbox.flush_allowed():
        return
    token = parts.outbox.flush_turn(TURN)
    if token is None:
        return
    try:
        _deliver_batches(parts)
        parts.outbox.flush_succeeded()
    except Transient as fault:
        parts.metrics.audit_failed.labels(SERVICE).inc()
        wait = parts.outbox.delay_flush(fault.retry_after, abs(draw_jitter()))
        log.warning("audit events wait %.1f s in the outbox: %s", wait.total_seconds(), fault)
    finally:
        parts.outbox.end_turn(token)


def _deliver_batches(parts: Parts) -> None:
    for _ in range(BATCHES):
        items = parts.outbox.take(parts.settings.audit.batch_size)
        if not items:
            return
        began = clock.monotonic()
        for part in deliver(items, parts.audit, parts.outbox):
            parts.metrics.audit_written.labels(SERVICE).inc(part.stored)
            parts.metrics.audit_dropped.labels(SERVICE).inc(part.refused)
            parts.publisher.wake(part.keys)
        parts.metrics.audit_write_time.labels(SERVICE).observe(clock.monotonic() - began)
        if len(items) < parts.settings.audit.batch_size:
            return
    parts.publisher.flush_soon()
