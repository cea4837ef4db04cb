"""The holds on targets, their lines, and the gate that keeps both shut until they are restored.

Does not decide who may hold: it keeps the order of the line and the growing fence. Microseconds for fences, whole
milliseconds for instants, whole seconds for creation, as the API server gives it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from models.errors import Transient
from models.hold import Busy, Free, GateClosed, Held, HoldView, Known, Mine, Owner
from models.keys import Key
from models.target import run_name
from tasks.redis_scripts.connection import Client, translated
from tasks.redis_scripts.instants import from_ms, span_ms, to_ms
from tasks.redis_scripts.scripts import Argument, Scripts

_NAMES = (
    *("take", "look", "release", "leave", "vanish", "yield"),
    *("begin", "restore", "restore_place", "open", "heads", "line", "all", "suspect", "known", "attend", "gate"),
)
_KEYS = ("due", "holds", "lines", "fence", "epoch", "restoring", "owners", "owned", "suspects")
_HELD_FIELDS = 6
_GATE_RETRY = timedelta(seconds=1)
RESTORER_LIVES = timedelta(seconds=6)
"""For how long a sign of life of who restores counts: one that died is succeeded after it."""


class Holds:
    """Who holds which target and who waits. Every method is one round trip and raises Transient.

    What frees a target or a place returns the keys that may go on; they are due already and only want a kick.
    """

    def __init__(self, client: Client, prefix: str, clock: str = "") -> None:
        self._client = client
        self._prefix = prefix
        self._scripts = Scripts(client, "hold", _NAMES, [f"{prefix}:{name}" for name in _KEYS], clock)

    def take(self, target: str, owner: Owner) -> HoldView:
        """Take the target, recognise it as ours, or join its line. Never returns Free."""
        return _view(self._run("take", _spot(target), *_owner(owner)))

    def look(self, target: str, uid: str) -> HoldView:
        """Say what `take` would find, changing nothing; Free also for the first in line of a free target."""
        return _view(self._run("look", _spot(target), uid))

    def known(self, key: Key) -> Known | None:
        """Say what a key holds or waits for; None when it has no target, or its name was used by several."""
        reply = self._run("known", str(key))
        if reply[0] == b"unknown":
            return None
        target, uid, *view = reply
        return Known(target.decode(), uid.decode(), _view(view))

    def release(self, target: str, uid: str, fence: int, *, clean: bool) -> list[Key]:
        """Free the target if it is ours under this fence. Transient while the gate is closed.

        `clean` says that nothing is left of earlier runs; otherwise the next holder has to look.
        """
        return _woken(self._run("release", _spot(target), uid, fence, int(clean)))

    def leave(self, target: str, uid: str) -> list[Key]:
        """Leave the line. Transient while the gate is closed."""
        return _woken(self._run("leave", _spot(target), uid))

    def vanish(self, key: Key, uid: str | None) -> list[Key]:
        """Clean up after an execution that is gone: the one with this uid, or all that had this key when None.

        Transient while the gate is closed. The caller has asked the API server, not a cache.
        """
        return _woken(self._run("vanish", str(key), uid or ""))

    def yield_to(self, target: str, owner: Owner, fence: int, other: Owner, other_fence: int) -> HoldView:
        """Give our hold to the execution whose run the API server shows, and join the line behind it."""
        return _view(self._run("yield", _spot(target), *_owner(owner), fence, other.uid, str(other.key), other_fence))

    def suspect(self, run_names: Iterable[str]) -> None:
        """Note that earlier runs of these names may have left TaskRuns or pods behind."""
        names = list(run_names)
        if names:
            self._run("suspect", *names)

    def line(self, target: str, limit: int = 1000) -> list[Owner]:
        """Return who waits for a target, the first first."""
        reply = self._run("line", _spot(target), limit)
        return [_waiting(member, score) for member, score in zip(reply[::2], reply[1::2], strict=True)]

    def waiting_heads(self) -> list[Key]:
        """Return who is first in line for a target that is free; none while the gate is closed."""
        return [Key.parse(text.decode()) for text in self._run("heads")]

    def all(self) -> list[Held]:
        """Return every hold with the length of its line, in no order."""
        reply = self._run("all")
        return [_held(reply[first : first + _HELD_FIELDS]) for first in range(0, len(reply), _HELD_FIELDS)]

    def held_count(self) -> int:
        """Count the holds."""
        with translated():
            return int(self._client.scard(f"{self._prefix}:holds"))

    def gate_open(self) -> bool:
        """Say whether holds can be taken and released."""
        return bool(self._run("gate"))

    def begin_restore(self) -> int | None:
        """Drop what an earlier restoration left half-way; return this one's number.

        None while the gate is open or another restores; who restores says that he lives with `attend`.
        """
        return self._run("begin", span_ms(RESTORER_LIVES)) or None

    def attend(self, restoration: int) -> bool:
        """Say that a restoration goes on. False when it does not count any more."""
        return bool(self._run("attend", restoration, span_ms(RESTORER_LIVES)))

    def give_up(self, restoration: int) -> None:
        """Let another begin to restore at once."""
        self._run("attend", restoration, 0)

    def restoring(self) -> bool:
        """Say whether somebody restores."""
        with translated():
            return bool(self._client.exists(f"{self._prefix}:restoring"))

    def restore(self, target: str, owner: Owner, fence: int, since: datetime) -> bool:
        """Write a hold while the gate is closed; of two for one target the greater fence stays. Say whether it did."""
        return bool(self._run("restore", _spot(target), owner.uid, str(owner.key), fence, to_ms(since)))

    def restore_place(self, target: str, owner: Owner) -> bool:
        """Write a place in a line while the gate is closed. Say whether it did."""
        return bool(self._run("restore_place", _spot(target), *_owner(owner)))

    def open_gate(self, restoration: int | None = None) -> bool:
        """Open the gate. False when Redis was emptied, or another restoration began, since this one did."""
        return bool(self._run("open", "" if restoration is None else restoration))

    def _run(self, name: str, *arguments: Argument) -> Any:
        return self._scripts(name, self._prefix, *arguments)


def _spot(target: str) -> str:
    return f"{run_name(target)} {target}"


def _owner(owner: Owner) -> tuple[str, str, int]:
    return owner.uid, str(owner.key), int(owner.created.timestamp())


def _view(reply: Sequence[Any]) -> HoldView:
    match reply:
        case [b"mine", fence, since, suspect]:
            return Mine(fence, from_ms(since), bool(suspect))
        case [b"busy", key, uid, since, position]:
            return Busy(Key.parse(key.decode()), uid.decode(), from_ms(since), position)
        case [b"free"]:
            return Free()
        case _:
            return GateClosed()


def _woken(reply: Sequence[bytes]) -> list[Key]:
    if reply[0] == b"closed":
        raise Transient("the gate is closed: holds are being restored from the API server", _GATE_RETRY)
    return [Key.parse(text.decode()) for text in reply[1:]]


def _waiting(member: bytes, score: bytes) -> Owner:
    uid, _, key = member.decode().partition("|")
    return Owner(uid, Key.parse(key), datetime.fromtimestamp(int(score), UTC))


def _held(fields: Sequence[Any]) -> Held:
    target, key, uid, fence, since, waiting = fields
    return Held(target.decode(), Key.parse(key.decode()), uid.decode(), fence, from_ms(since), waiting)
