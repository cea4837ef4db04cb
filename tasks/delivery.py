"""Deliver buffered audit events to DataStorage: whole batches, halves where a batch is refused, one bad event alone.

Nothing here waits: a failure ends the turn, and when the next one may begin is kept in Redis for all workers.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

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


class Delivered(NamedTuple):
    """What became of some items: how many were stored, how many refused for good, the keys that became due by it."""

    stored: int
    refused: int
    keys: Sequence[Key]


def deliver(items: Sequence[Item], store: Store, buffer: Buffer) -> Iterator[Delivered]:
    """Send items in their order; yield what became of them as soon as it is settled.

    A refused batch is sent in halves, so that one bad event keeps no other back; it ends in quarantine with what
    DataStorage said. Raises Transient as soon as DataStorage cannot answer; what was settled before stays so.
    """
    try:
        store.store([item.body for item in items])
    except Permanent as fault:
        yield from _halves(items, store, buffer, fault)
    else:
        yield Delivered(len(items), 0, buffer.acknowledge(items))


def _halves(items: Sequence[Item], store: Store, buffer: Buffer, fault: Permanent) -> Iterator[Delivered]:
    if len(items) == 1:
        log.error("audit event %s quarantined: %s", items[0].event_id, fault)
        buffer.quarantine(items[0], str(fault))
        yield Delivered(0, 1, ())
        return
    middle = len(items) // 2
    yield from deliver(items[:middle], store, buffer)
    yield from deliver(items[middle:], store, buffer)
