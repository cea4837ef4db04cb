"""Loaded by schemathesis (SCHEMATHESIS_HOOKS): what the OpenAPI document cannot say about a valid request.

Without it nearly every event would be refused for its time or its parent, and nothing behind the checks be reached.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import schemathesis
from hypothesis import strategies

_BASE = datetime.now(UTC)
_WITHIN_THE_WINDOW = strategies.integers(0, 6 * 86_400).map(lambda ago: (_BASE - timedelta(seconds=ago)).isoformat())

schemathesis.openapi.format("date-time", _WITHIN_THE_WINDOW)


@schemathesis.hook
def before_call(_context: object, case: Any, _arguments: object) -> None:
    """Take out of a valid request what points at something that is not there."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    for event in case.body if isinstance(case.body, list) else [case.body]:
        if isinstance(event, dict):
            event.pop("parent_event_id", None)
    if case.query:
        case.query.pop("cursor", None)
