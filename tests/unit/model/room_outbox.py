"""The outbox over the model of the Redis room: one method a script (outbox_*.lua)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from models.answers import Answers
from models.keys import Key
from tasks.redis_scripts.instants import span_ms
from tasks.redis_scripts.outbox import Item, Trouble
from tests.unit.model.room import Room

_NONE: Mapping[str, Any] = {}
REMEMBERED_MS, FIRST_WAIT_MS, LONGEST_WAIT_MS = 86_400_000, 1_000, 60_000


class ModelOutbox:
    """The buffer of audit events."""

    def __init__(self, room: Room) -> None:
        self._room = room

    def append(self, execution_uid: str, key: Key, events: Sequence[tuple[str, bytes]], *, awaited: bool = True) -> int:
        room, added = self._room, 0
        place = max(max(room.order.values(), default=0) + 1, room.time_us())
        known = self._acked_of(execution_uid)
        for event_id, body in events:
            if event_id not in known and event_id not in room.quarantine and event_id not in room.body:
                room.body[event_id], room.order[event_id] = body, place + added
                room.source[event_id] = (execution_uid, str(key), awaited)
                added += 1
        return added

    def take(self, limit: int) -> list[Item]:
        room = self._room
        oldest = sorted(room.order, key=lambda event_id: (room.order[event_id], event_id))[:limit]
        sources = {event_id: room.source[event_id] for event_id in oldest}
        return [Item(i, Key.parse(key), uid, room.body[i], awaited) for i, (uid, key, awaited) in sources.items()]

    def acknowledge(self, items: Iterable[Item]) -> list[Key]:
        room, keys = self._room, dict[Key, None]()
        for item in items:
            self._drop(item.event_id)
            room.quarantine.pop(item.event_id, None)
            room.acked[item.uid] = self._acked_of(item.uid) | {item.event_id}
            room.acked_until[item.uid] = room.now + REMEMBERED_MS
            if item.awaited:
                keys[item.key] = None
                room.want(str(item.key), room.now)
        return list(keys)

    def acked(self, uid: str) -> frozenset[str]:
        return frozenset(self._acked_of(uid))

    def answers(self, uid: str, event_ids: Sequence[str]) -> Answers:
        return Answers(self.acked(uid), self.problems(event_ids))

    def trimmed(self, uid: str, event_ids: Iterable[str] = ()) -> None:
        left = self._acked_of(uid) - set(event_ids or self._acked_of(uid))
        if left:
            self._room.acked[uid] = left
        else:
            self._room.acked.pop(uid, None)

    def quarantine(self, item: Item, problem: str, document: Mapping[str, Any] = _NONE) -> None:
        self._drop(item.event_id)
        if item.event_id in self._acked_of(item.uid):
            return
        body = item.body.decode(errors="replace")
        record = {"uid": item.uid, "key": str(item.key), "problem": problem, "document": document, "body": body}
        self._room.quarantine[item.event_id] = json.dumps(record)
        self._room.want(str(item.key), self._room.now)

    def problems(self, event_ids: Sequence[str]) -> Mapping[str, str]:
        records = {i: self._room.quarantine[i] for i in event_ids if i in self._room.quarantine}
        return {event_id: json.loads(record)["problem"] for event_id, record in records.items()}

    def size(self) -> int:
        return len(self._room.order)

    def quarantined(self) -> int:
        return len(self._room.quarantine)

    def flush_turn(self, ttl: timedelta) -> str | None:
        room = self._room
        if room.turn is not None and room.turn[1] > room.now:
            return None
        room.turn = (str(room.time_us()), room.now + span_ms(ttl))
        return room.turn[0]

    def keep_turn(self, token: str, ttl: timedelta) -> bool:
        room = self._room
        if room.turn is None or room.turn[0] != token or room.turn[1] <= room.now:
            return False
        room.turn = (token, room.now + span_ms(ttl))
        return True

    def end_turn(self, token: str) -> bool:
        room = self._room
        if room.turn is None or room.turn[0] != token or room.turn[1] <= room.now:
            return False
        room.turn = None
        return True

    def delay_flush(self, at_least: timedelta | None = None, share: float = 1.0, words: str = "") -> timedelta:
        room, failures = self._room, self._room.backoff[1]
        wait = int(min(FIRST_WAIT_MS * 2**failures, LONGEST_WAIT_MS) * share)
        wait = max(1, wait, span_ms(at_least or timedelta()))
        room.backoff = (room.now + wait, failures + 1)
        return timedelta(milliseconds=wait)

    def trouble(self) -> Trouble:
        return Trouble(self._room.backoff[1])

    def flush_succeeded(self) -> None:
        self._room.backoff = (0, 0)

    def flush_wait(self) -> timedelta:
        return timedelta(milliseconds=max(0, self._room.backoff[0] - self._room.now))

    def flush_allowed(self) -> bool:
        return not self.flush_wait()

    def _acked_of(self, uid: str) -> set[str]:
        room = self._room
        if room.acked_until.get(uid, 0) <= room.now:
            room.acked.pop(uid, None)
        return set(room.acked.get(uid, ()))

    def _drop(self, event_id: str) -> None:
        for part in (self._room.order, self._room.body, self._room.source):
            part.pop(event_id, None)
