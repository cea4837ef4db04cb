"""What a person asks of an execution by annotations: the reason, and who says so."""

from __future__ import annotations

from datetime import datetime

from models.execution import Execution
from models.names import REQUESTED_BY
from models.observed import Observed
from models.status import Request

UNVERIFIED = "unverified:"
_LONGEST_NAME = 253
_LONGEST_REASON = 1024


def asked(execution: Execution, annotation: str) -> str:
    """Return the reason that an ask gives, empty when nothing is asked: an ask without a reason is none."""
    return execution.annotations.get(annotation, "").strip()[:_LONGEST_REASON]


def request(execution: Execution, observed: Observed, annotation: str, now: datetime) -> Request | None:
    """Return an ask as it is recorded, None when there is none."""
    reason = asked(execution, annotation)
    return Request(at=now, by=requester(execution, observed), reason=reason) if reason else None


def requester(execution: Execution, observed: Observed) -> str:
    """Return who asks: without the admission policy anybody may write anybody's name."""
    name = execution.annotations.get(REQUESTED_BY, "").strip()[:_LONGEST_NAME]
    return name if name and observed.requester_verified else unverified(name)


def unverified(name: str) -> str:
    """Return a name that nobody vouched for, marked as such."""
    return name if name.startswith(UNVERIFIED) else f"{UNVERIFIED}{name or 'unknown'}"
