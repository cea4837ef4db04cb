"""Checkpoints: signed statements about the ends of all chains, so that a chain cut short or gone is seen.

A checkpoint names the ends of those chains that grew since the one before it, and the hash of the one before it; so the
last of them covers every chain. The signature is over `statement`; a key is named by its public half.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models.audit_chain import GENESIS, Head
from models.audit_signed import Signed
from models.audit_values import canonical_json, format_microseconds, parse_rfc3339

_FORM = "kubernaut audit checkpoint 1"


@dataclass(frozen=True, slots=True)
class Checkpoint(Signed):
    """One checkpoint. `changed` counts the ends it names, `heads` is their digest; totals are of all chains."""

    number: int
    taken_at: datetime
    previous: bytes
    changed: int
    heads: bytes
    chains: int
    events: int
    key_id: str

    def _fields(self) -> dict[str, Any]:
        return {
            "form": _FORM,
            "number": self.number,
            "taken_at": format_microseconds(self.taken_at),
            "previous": self.previous.hex(),
            "changed": self.changed,
            "heads": self.heads.hex(),
            "chains": self.chains,
            "events": self.events,
            "key_id": self.key_id,
        }


def read_checkpoint(document: Mapping[str, Any]) -> Checkpoint:
    """Read what `Checkpoint.document` wrote. Raises ValueError."""
    try:
        number, changed, chains, events = (int(document[name]) for name in ("number", "changed", "chains", "events"))
        previous, heads, signature = (bytes.fromhex(document[name]) for name in ("previous", "heads", "signature"))
        taken_at, key_id = parse_rfc3339(document["taken_at"]), str(document["key_id"])
        return Checkpoint(number, taken_at, previous, changed, heads, chains, events, key_id, signature=signature)
    except (KeyError, TypeError) as error:
        raise ValueError("this is no checkpoint") from error


def before_the_first() -> tuple[int, bytes]:
    """Return number and hash that stand before the first checkpoint."""
    return 0, GENESIS


class HeadsDigest:
    """The digest over the ends that a checkpoint names, in their order."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.count = 0

    def add(self, correlation_id: str, head: Head) -> None:
        """Add one end."""
        self._hash.update(canonical_json([correlation_id, head.position, head.hash.hex()]).encode() + b"\n")
        self.count += 1

    def value(self) -> bytes:
        """Return the digest of what was added."""
        return self._hash.digest()
