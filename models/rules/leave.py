"""Being deleted: remove our run, free the target, leave the line, then let the object go."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import assert_never

from models.actions import (
    Action,
    BufferFacts,
    DeleteRun,
    EmitEvent,
    EventReason,
    LeaveLine,
    ReleaseTarget,
    RemoveFinalizer,
    WakeAt,
)
from models.audit import event_id
from models.execution import Execution
from models.hold import Busy, Free, GateClosed, Mine
from models.observed import Observed
from models.policy import Policy
from models.rules.begin import DELETION_WAIT, GATE_WAIT, REMAINS_WAIT
from models.rules.cooldown import blocks
from models.rules.lifting import clear_by_deletion, lift

AUDIT_GRACE = timedelta(seconds=30)
AUDIT_LOOK = timedelta(seconds=1)


def leave(
    execution: Execution, deleted_at: datetime, observed: Observed, now: datetime, policy: Policy
) -> tuple[Action, ...]:
    """Decide for an execution that somebody deleted."""
    if not execution.guarded:
        return ()
    if blocks(execution.status, policy):
        # Who asked for it and was faster than this pass is named; else nobody knows who deleted it.
        return lift(execution, observed, now, policy) or clear_by_deletion(execution, observed, now)
    run = observed.our_run(execution)
    if run is not None:
        return (WakeAt(now + DELETION_WAIT),) if run.deleting else (DeleteRun(run.uid),)
    match observed.hold:
        case GateClosed():
            return (WakeAt(now + GATE_WAIT),)
        case Mine() if observed.remains:
            return (WakeAt(now + REMAINS_WAIT),)
        case Mine(fence=fence):
            freed: tuple[Action, ...] = (ReleaseTarget(fence, clean=observed.run is None),)
        case Free() | Busy():
            freed = (LeaveLine(),)
        case _ as never:
            assert_never(never)
    if not _audited(execution, observed) and now < deleted_at + AUDIT_GRACE:
        return (*freed, BufferFacts(), WakeAt(min(now + AUDIT_LOOK, deleted_at + AUDIT_GRACE)))
    message = f"target {execution.spec.target} is no longer ours"
    return (*freed, EmitEvent(EventReason.DELETED, message, max(execution.status.attempt, 1)), RemoveFinalizer())


def _audited(execution: Execution, observed: Observed) -> bool:
    """Say whether nothing is left that DataStorage could still take."""
    ids = {event_id(execution.uid, fact.type, fact.attempt) for fact in execution.status.pending_facts}
    return ids <= observed.acknowledged | observed.refused_facts.keys()
