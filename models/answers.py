"""What DataStorage said of the audit events of one execution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Answers:
    """Ids of events it has stored, and of those it will never take with what it said; the others are on their way."""

    acknowledged: frozenset[str] = frozenset()
    refused: Mapping[str, str] = field(default_factory=dict)
