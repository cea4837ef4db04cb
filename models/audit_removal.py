"""What retention leaves of a month that it removed: a signed stub, and the stretches of chains that are gone.

Stubs are numbered and each names the one before it, like checkpoints; its signature covers the stretches by a digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models.audit_chain import GENESIS
from models.audit_signed import Signed
from models.audit_stretch import Stretch
from models.audit_values import canonical_json, format_microseconds, parse_rfc3339
from models.audit_verify import Fault, FaultKind

_FORM = "kubernaut audit removal 1"


@dataclass(frozen=True, slots=True)
class Removal(Signed):
    """One stub. `stretches` counts what it names, `gone` is their digest."""

    number: int
    month: str
    removed_at: datetime
    previous: bytes
    chains: int
    events: int
    stretches: int
    gone: bytes
    key_id: str

    def _fields(self) -> dict[str, Any]:
        return {
            "form": _FORM,
            "number": self.number,
            "month": self.month,
            "removed_at": format_microseconds(self.removed_at),
            "previous": self.previous.hex(),
            "chains": self.chains,
            "events": self.events,
            "stretches": self.stretches,
            "gone": self.gone.hex(),
            "key_id": self.key_id,
        }


def read_removal(document: Mapping[str, Any]) -> Removal:
    """Read what `Removal.document` wrote. Raises ValueError."""
    try:
        number, chains, events, stretches = (int(document[n]) for n in ("number", "chains", "events", "stretches"))
        previous, gone, signature = (bytes.fromhex(document[name]) for name in ("previous", "gone", "signature"))
        month, key_id, at = str(document["month"]), str(document["key_id"]), parse_rfc3339(document["removed_at"])
        return Removal(number, month, at, previous, chains, events, stretches, gone, key_id, signature=signature)
    except (KeyError, TypeError) as error:
        raise ValueError("this is no record of a removal") from error


class StretchDigest:
    """The digest over the stretches that a stub names, in their order, and what they add up to."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.count = 0
        self.events = 0

    def add(self, stretch: Stretch) -> None:
        """Add one stretch."""
        self._hash.update(canonical_json(stretch.document()).encode(errors="surrogatepass") + b"\n")
        self.count += 1
        self.events += stretch.last - stretch.first + 1

    def value(self) -> bytes:
        """Return the digest of what was added."""
        return self._hash.digest()


class RemovalWalk:
    """One walk over stubs by number. Those that are as they were signed stand in `good`."""

    def __init__(self, trust: Callable[[Removal], str], *, every: bool = True) -> None:
        """Without `every` some of the stubs are left out, and nothing is said of gaps."""
        self.good: list[Removal] = []
        self._last: Removal | None = None
        self._trust = trust
        self._every = every

    def follow(self, removal: Removal, gone: StretchDigest) -> Iterator[Fault]:
        """Look at the next stub and at what stands there of its stretches."""
        number, before = (self._last.number, self._last.hash) if self._last else (0, GENESIS)
        self._last = removal
        if self._every and removal.number != number + 1:
            yield _fault(removal, f"the stubs {number + 1} to {removal.number - 1} are missing")
        elif self._every and removal.previous != before:
            yield _fault(removal, "it does not follow the stub before it: one was replaced")
        wrong = self._trust(removal)
        if not wrong and (gone.count, gone.events, gone.value()) != (removal.stretches, removal.events, removal.gone):
            wrong = "what it says is gone was changed"
        if wrong:
            yield _fault(removal, wrong)
        else:
            self.good.append(removal)


def _fault(removal: Removal, wrong: str) -> Fault:
    detail = f"the stub {removal.number}, which says that {removal.month} was removed: {wrong}"
    return Fault(kind=FaultKind.REMOVAL, detail=detail)
