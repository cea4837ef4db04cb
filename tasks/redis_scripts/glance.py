"""Look at the work queue without touching it, for `wfe why`: when one key wants a pass, and whether one is running."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models.keys import Key
from tasks.redis_scripts.connection import Client, translated
from tasks.redis_scripts.instants import from_ms, from_us


@dataclass(frozen=True, slots=True)
class Glance:
    """A key in the queue at one instant of Redis TIME. `due` is None when it wants no pass.

    `failed` counts the passes that failed in a row.
    """

    now: datetime
    due: datetime | None
    running: bool
    failed: int


def glance(client: Client, prefix: str, key: Key) -> Glance:
    """Return what the queue holds about a key, in one round trip. Raises Transient."""
    with translated():
        pipeline = client.pipeline(transaction=True)
        pipeline.time()
        pipeline.zscore(f"{prefix}:due", str(key))
        pipeline.zscore(f"{prefix}:running", str(key))
        pipeline.hget(f"{prefix}:fails", str(key))
        reply: Any = pipeline.execute()
    (seconds, microseconds), due, until, failed = reply
    now = from_us(int(seconds) * 1_000_000 + int(microseconds))
    return Glance(
        now=now,
        due=None if due is None else from_ms(int(due)),
        running=until is not None and from_ms(int(until)) > now,
        failed=int(failed or 0),
    )
