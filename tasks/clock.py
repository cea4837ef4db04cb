"""The one place that reads this machine's clocks. A pass uses Redis TIME instead, so that workers agree."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Return the current instant, aware, UTC."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Return seconds of a clock that never goes back; its zero means nothing."""
    return time.monotonic()
