"""A model of DataStorage: idempotent by event id, all or nothing, another content under a known id is refused."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from tasks.adapters.datastorage import Refused


class ModelStorage:
    """The stored events, in the order in which they came."""

    def __init__(self) -> None:
        self.events: dict[str, bytes] = {}
        self.conflicts: list[str] = []

    def store(self, bodies: Sequence[bytes]) -> None:
        told = {str(orjson.loads(body)["event_id"]): bytes(body) for body in bodies}
        for event_id, body in told.items():
            if self.events.get(event_id, body) != body:
                self.conflicts.append(f"{self.events[event_id]!r} and then {body!r}")
                raise Refused(f"event-conflict: {event_id}", {})
        self.events |= told
