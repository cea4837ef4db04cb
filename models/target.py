"""The target of a remediation: what is locked, and what the run is named after."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

_ALLOWED = "expected namespace/kind/name or kind/name"


class InvalidTarget(ValueError):
    """The text names no target; the message says what is wrong and what is allowed."""


@dataclass(frozen=True, slots=True)
class Target:
    """A target as its author wrote it: `namespace/kind/name` or `kind/name`, case-sensitive, never normalised."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read a target. Raises InvalidTarget."""
        if not text:
            raise InvalidTarget(f"spec.targetResource is empty: {_ALLOWED}")
        parts = text.split("/")
        if len(parts) not in (2, 3):
            raise InvalidTarget(f"spec.targetResource {_cut(text)!r} has {len(parts)} part(s): {_ALLOWED}")
        if not all(part.strip() for part in parts):
            raise InvalidTarget(f"spec.targetResource {_cut(text)!r} has an empty part: {_ALLOWED}")
        return cls(text)

    @property
    def run_name(self) -> str:
        """The one name a run of this target can have, so that the API server itself refuses a second."""
        return run_name(self.text)


def run_name(target: str) -> str:
    """Return `wfe-` and the first 16 hex digits of the SHA-256 of the raw text (20 characters)."""
    return "wfe-" + hashlib.sha256(target.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _cut(text: str, limit: int = 120) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
