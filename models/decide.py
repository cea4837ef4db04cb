"""The one decision: from what was seen to what is to be done. Pure, total, exhaustive."""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

from models.actions import Action
from models.execution import Execution
from models.observed import Observed
from models.policy import Policy
from models.rules.begin import begin
from models.rules.follow import follow
from models.rules.leave import leave
from models.rules.rest import rest
from models.status import Phase


def decide(
    execution: Execution, observed: Observed, now: datetime, *, policy: Policy, jitter: float = 0.0
) -> tuple[Action, ...]:
    """Return what to do next for an execution; an empty tuple means there is nothing to do until something changes.

    `now` is Redis TIME, `jitter` is drawn from [-1, 1]: the caller's, so that the same input gives the same answer.
    """
    if execution.deleted_at is not None:
        return leave(execution, execution.deleted_at, observed, now, policy)
    match execution.status.phase:
        case Phase.PENDING:
            return begin(execution, observed, now, policy, jitter)
        case Phase.RUNNING:
            return follow(execution, observed, now, policy, jitter)
        case Phase.COMPLETED | Phase.FAILED | Phase.SKIPPED:
            return rest(execution, observed, now, policy)
        case _ as never:
            assert_never(never)
