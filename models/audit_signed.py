"""What is signed in the audit: a statement of named values, in one form for checkpoints and stubs."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any, Self

from models.audit_values import canonical_json


@dataclass(frozen=True, slots=True)
class Signed(ABC):
    """A statement with the signature over it; the next of its kind names it by its hash."""

    signature: bytes = field(default=b"", kw_only=True)

    @property
    def statement(self) -> bytes:
        """What is signed: canonical JSON."""
        return canonical_json(self._fields()).encode()

    @property
    def hash(self) -> bytes:
        """What the next of its kind names as the one before it."""
        return hashlib.sha256(self.statement).digest()

    def document(self) -> dict[str, Any]:
        """Return it as JSON, with signature and hash."""
        return {**self._fields(), "hash": self.hash.hex(), "signature": self.signature.hex()}

    def signed(self, signature: bytes) -> Self:
        """Return it with its signature."""
        return replace(self, signature=signature)

    @abstractmethod
    def _fields(self) -> dict[str, Any]: ...
