"""Holds, lines and the gate over the model of the Redis room: one method a script (hold_*.lua)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from models.errors import Transient
from models.hold import Busy, Free, GateClosed, Held, HoldView, Known, Mine, Owner
from models.keys import Key
from models.target import run_name
from tasks.redis_scripts.instants import from_ms, to_ms
from tests.unit.model.room import Hold, Room

RESTORER_LIVES_MS = 6_000


class ModelHolds:
    """Who holds which target and who waits."""

    def __init__(self, room: Room) -> None:
        self._room = room

    def take(self, target: str, owner: Owner) -> HoldView:
        room, key = self._room, str(owner.key)
        if not room.epoch:
            return GateClosed()
        seen = self._view(target, owner.uid)
        if isinstance(seen, Mine):
            return seen
        if isinstance(seen, Busy):
            self._join(target, owner)
            seen = self._view(target, owner.uid)
            if isinstance(seen, Busy):
                self._wake_first(target)
                return seen
        fence = max(room.fence + 1, room.time_us())
        was_suspect = run_name(target) in room.suspects
        self._write_hold(target, owner.uid, key, fence, room.now)
        return Mine(fence, from_ms(room.now), was_suspect)

    def look(self, target: str, uid: str) -> HoldView:
        return self._view(target, uid) if self._room.epoch else GateClosed()

    def known(self, key: Key) -> Known | None:
        uids = self._room.owned.get(str(key), ())
        if len(uids) != 1:
            return None
        _, target = self._room.owners[uids[0]]
        return Known(target, uids[0], self._view(target, uids[0]) if self._room.epoch else GateClosed())

    def release(self, target: str, uid: str, fence: int, *, clean: bool) -> list[Key]:
        self._gate()
        hold = self._room.holds.get(target)
        if hold is None or hold.uid != uid or hold.fence != fence:
            return []
        self._free(target, uid, hold.key)
        if clean:
            self._room.suspects.discard(run_name(target))
        return self._wake_first(target)

    def leave(self, target: str, uid: str) -> list[Key]:
        self._gate()
        key = self._known(uid)
        if key is None or not self._drop_place(target, uid, key):
            return []
        self._forget(uid, key)
        return self._wake_first(target)

    def vanish(self, key: Key, uid: str | None) -> list[Key]:
        self._gate()
        woken: list[Key] = []
        for known in list(self._room.owned.get(str(key), ())):
            if uid in (None, "", known):
                owner_key, target = self._room.owners[known]
                hold = self._room.holds.get(target)
                self._drop_place(target, known, owner_key)
                if hold is not None and hold.uid == known:
                    self._free(target, known, owner_key)
                else:
                    self._forget(known, owner_key)
                woken += self._wake_first(target)
        return woken

    def yield_to(self, target: str, owner: Owner, fence: int, other: Owner, other_fence: int) -> HoldView:
        room = self._room
        if not room.epoch:
            return GateClosed()
        hold = room.holds.get(target)
        if hold is None or hold.uid != owner.uid or hold.fence != fence:
            return self._view(target, owner.uid)
        self._free(target, owner.uid, str(owner.key))
        self._write_hold(target, other.uid, str(other.key), other_fence, room.now)
        room.want(str(other.key), room.now)
        self._join(target, owner)
        return self._view(target, owner.uid)

    def suspect(self, run_names: Iterable[str]) -> None:
        self._room.suspects.update(run_names)

    def line(self, target: str, limit: int = 1000) -> list[Owner]:
        line = self._room.lines.get(target, {})
        return [
            Owner(uid, Key.parse(key), datetime.fromtimestamp(line[(uid, key)], UTC))
            for uid, key in self._places(target)[:limit]
        ]

    def waiting_heads(self) -> list[Key]:
        room = self._room
        if not room.epoch:
            return []
        heads = [self._first(target) for target in room.lines if target not in room.holds]
        return [Key.parse(head.key) for head in heads if head is not None]

    def all(self) -> list[Held]:
        return [
            Held(target, Key.parse(hold.key), hold.uid, hold.fence, from_ms(hold.since), len(self._places(target)))
            for target, hold in self._room.holds.items()
        ]

    def held_count(self) -> int:
        return len(self._room.holds)

    def gate_open(self) -> bool:
        return bool(self._room.epoch)

    def begin_restore(self) -> int | None:
        room = self._room
        if room.epoch or self.restoring():
            return None
        room.holds, room.lines, room.owners, room.owned = {}, {}, {}, {}
        room.restoring, room.restoring_until = room.time_us(), room.now + RESTORER_LIVES_MS
        return room.restoring

    def attend(self, restoration: int) -> bool:
        alive = self.restoring() and self._room.restoring == restoration
        if alive:
            self._room.restoring_until = self._room.now + RESTORER_LIVES_MS
        return alive

    def give_up(self, restoration: int) -> None:
        if self._room.restoring == restoration:
            self._room.restoring = 0

    def restoring(self) -> bool:
        return bool(self._room.restoring) and self._room.restoring_until > self._room.now

    def restore(self, target: str, owner: Owner, fence: int, since: datetime) -> bool:
        if self._room.epoch:
            return False
        hold = self._room.holds.get(target)
        if hold is not None and hold.uid != owner.uid:
            if hold.fence >= fence:
                return False
            self._free(target, hold.uid, hold.key)
        self._write_hold(target, owner.uid, str(owner.key), fence, to_ms(since))
        return True

    def restore_place(self, target: str, owner: Owner) -> bool:
        hold = self._room.holds.get(target)
        if self._room.epoch or (hold is not None and hold.uid == owner.uid):
            return False
        self._join(target, owner)
        return True

    def open_gate(self, restoration: int | None = None) -> bool:
        room = self._room
        if room.epoch:
            return True
        if restoration is not None and (room.restoring != restoration or not self.restoring()):
            return False
        room.epoch, room.restoring = room.time_us(), 0
        for target in room.lines:
            self._wake_first(target)
        return True

    def _gate(self) -> None:
        if not self._room.epoch:
            raise Transient("the gate is closed", timedelta(seconds=1))

    def _view(self, target: str, uid: str) -> HoldView:
        hold = self._room.holds.get(target)
        if hold is not None and hold.uid == uid:
            return Mine(hold.fence, from_ms(hold.since), run_name(target) in self._room.suspects)
        key = self._known(uid)
        places = self._places(target)
        place = (uid, key)
        position = places.index((uid, key)) + 1 if key is not None and place in places else 0
        before = hold or self._first(target)
        if before is None or before.uid == uid:
            return Free()
        return Busy(Key.parse(before.key), before.uid, from_ms(before.since), position)

    def _places(self, target: str) -> list[tuple[str, str]]:
        line = self._room.lines.get(target, {})
        return sorted(line, key=lambda place: (line[place], f"{place[0]}|{place[1]}".encode()))

    def _first(self, target: str) -> Hold | None:
        places = self._places(target)
        if not places:
            return None
        uid, key = places[0]
        return Hold(uid, key, 0, self._room.lines[target][places[0]] * 1000)

    def _known(self, uid: str) -> str | None:
        known = self._room.owners.get(uid)
        return None if known is None else known[0]

    def _remember(self, uid: str, key: str, target: str) -> None:
        room = self._room
        fresh = uid not in room.owners
        room.owners[uid] = (key, target)
        if fresh:
            room.owned.setdefault(key, []).append(uid)

    def _forget(self, uid: str, key: str) -> None:
        room = self._room
        room.owners.pop(uid, None)
        left = [other for other in room.owned.get(key, ()) if other != uid]
        if left:
            room.owned[key] = left
        else:
            room.owned.pop(key, None)

    def _join(self, target: str, owner: Owner) -> None:
        place = (owner.uid, str(owner.key))
        self._room.lines.setdefault(target, {})[place] = int(owner.created.timestamp())
        self._remember(owner.uid, str(owner.key), target)

    def _drop_place(self, target: str, uid: str, key: str) -> bool:
        line = self._room.lines.get(target, {})
        dropped = line.pop((uid, key), None) is not None
        if dropped and not line:
            del self._room.lines[target]
        return dropped

    def _write_hold(self, target: str, uid: str, key: str, fence: int, since: int) -> None:
        self._room.fence = max(self._room.fence, fence)
        self._drop_place(target, uid, key)
        self._room.holds[target] = Hold(uid, key, fence, since)
        self._room.suspects.add(run_name(target))
        self._remember(uid, key, target)

    def _free(self, target: str, uid: str, key: str) -> None:
        del self._room.holds[target]
        self._forget(uid, key)

    def _wake_first(self, target: str) -> list[Key]:
        head = None if target in self._room.holds else self._first(target)
        if head is None:
            return []
        self._room.want(head.key, self._room.now)
        return [Key.parse(head.key)]
