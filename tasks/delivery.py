"""Deliver buffered audit events to DataStorage: whole batches, halves where a batch is refused, one bad event alone.

Nothing here waits: a failure ends the turn, and when the next one may begin is kept in Redis for all workers.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from models.errors import Permanent
from models.keys import Key
from tasks.redis_scripts.outbox import Item

log = logging.getLogger(__name__)


class Store(Protocol):
    """Where events go; raises Transient when it cannot answer, Permanent when it refuses them."""

    def store(self, bodies: Sequence[bytes]) -> None: ...


class Buffer(Protocol):
    """Where events come from, and what happened to them."""

    def acknowledge(self, items: Sequence[Item]) -> Sequence[Key]: ...

    def quarantine(self, item: Item, problem: str) -> None: ...


def deliver(items: Sequence[Item], store: Store, buffer: Buffer) -> tuple[int, Sequence[Key]]:
    """Send items in their order; return how many were stored and the keys that became due by it.

    A refused batch is sent in halves, so that one bad event keeps no other back; it ends in quarantine with what
    DataStorage said. Raises Transient as soon as DataStorage cannot answer; what was stored before stays acknowledged.
    """
    try:
        store.store([item.body for item in items])
    except Permanent as fault:
        return _halves(items, store, buffer, fault)
    return len(items), buffer.acknowledge(items)


def _halves(items: Sequence[Item], store: Store, buffer: Buffer, fault: Permanent) -> tuple[int, Sequence[Key]]:
    if len(items) == 1:
        log.error("audit event %s quarantined: %s", items[0].event_id, fault)
        buffer.quarantine(items[0], str(fault))
        return 0, ()
    middle = len(items) // 2
    stored, keys = deliver(items[:middle], store, buffer)
    stored_too, keys_too = deliver(items[middle:], store, buffer)
    return stored + stored_too, (*keys, *keys_too)
