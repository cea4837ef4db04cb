"""Deliver buffered audit events to DataStorage: whole batches, halves where a batch is refused, one bad event alone.

Nothing here waits: a failure ends the turn, and when the next one may begin is kept in Redis for all workers.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from models.audit_fields import BODY_BYTES
from models.keys import Key
from tasks.adapters.datastorage import Refused
from tasks.redis_scripts.outbox import Item

log = logging.getLogger(__name__)


class Store(Protocol):
    """Where events go; raises Transient when it cannot answer, Refused when it will not take them as they are."""

    def store(self, bodies: Sequence[bytes]) -> None: ...


class Buffer(Protocol):
    """Where events come from, and what happened to them."""

    def acknowledge(self, items: Sequence[Item]) -> Sequence[Key]: ...

    def quarantine(self, item: Item, problem: str, document: Mapping[str, Any]) -> None: ...


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
    if len(items) > 1 and sum(len(item.body) + 1 for item in items) >= BODY_BYTES:
        # Refused unread while we are still sending, which a connection may not survive long enough to tell.
        yield from _split(items, store, buffer)
        return
    try:
        store.store([item.body for item in items])
    except Refused as fault:
        yield from _halves(items, store, buffer, fault)
    else:
        yield Delivered(len(items), 0, buffer.acknowledge(items))


def _halves(items: Sequence[Item], store: Store, buffer: Buffer, fault: Refused) -> Iterator[Delivered]:
    if len(items) == 1:
        log.error("audit event %s quarantined: %s", items[0].event_id, fault)
        buffer.quarantine(items[0], str(fault), fault.problem)
        yield Delivered(0, 1, ())
        return
    yield from _split(items, store, buffer)


def _split(items: Sequence[Item], store: Store, buffer: Buffer) -> Iterator[Delivered]:
    middle = len(items) // 2
    yield from deliver(items[:middle], store, buffer)
    yield from deliver(items[middle:], store, buffer)
