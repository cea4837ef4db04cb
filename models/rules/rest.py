"""Terminal: report what DataStorage acknowledged, keep cooldown and block, then clean up and release the target."""

from __future__ import annotations

from datetime import datetime

from models.actions import (
    Action,
    AddFinalizer,
    DeleteRun,
    EmitEvent,
    EventReason,
    LeaveLine,
    ReleaseTarget,
    TakeTarget,
    WakeAt,
)
from models.execution import Execution
from models.hold import Busy, Free, GateClosed, HoldView, Mine
from models.observed import Observed
from models.policy import Policy
from models.rules.begin import DELETION_WAIT, GATE_WAIT, REMAINS_WAIT
from models.rules.cooldown import blocks, rest_until
from models.rules.ending import repair_completion
from models.rules.lifting import lift
from models.rules.writing import keep
from models.run import Run


def rest(execution: Execution, observed: Observed, now: datetime, policy: Policy) -> tuple[Action, ...]:
    """Decide for an execution that has ended.

    One that blocks keeps its target without an end in sight; its run goes when the cooldown is over, as any other.
    One that had ended before we ever wrote to it is left alone, but keeps neither a target nor a place in a line.
    """
    status = execution.status
    if status.attempt == 0 and not isinstance(observed.hold, Mine):
        return _out_of_line(observed.hold)
    if status.completed_at is None:
        return repair_completion(execution, observed, now, policy)
    lifted = lift(execution, observed, now, policy)
    if lifted:
        return lifted
    until, blocking = rest_until(status, policy), blocks(status, policy)
    resting = until is not None and now < until
    if (resting or blocking) and not execution.guarded:
        return (AddFinalizer(),)
    if (resting or blocking) and isinstance(observed.hold, Free):
        return (TakeTarget(),)
    if blocking and isinstance(observed.hold, Busy) and observed.hold.position == 0:
        return (TakeTarget(),)
    if until is not None and resting:
        return keep(execution, observed, now, WakeAt(until))
    run = observed.our_run(execution)
    if run is not None and not run.deleting:
        return (DeleteRun(run.uid),)
    if blocking:
        return keep(execution, observed, now)
    return keep(execution, observed, now, *_free_target(execution, observed, run, now))


def _free_target(execution: Execution, observed: Observed, run: Run | None, now: datetime) -> tuple[Action, ...]:
    if isinstance(observed.hold, GateClosed):
        return (WakeAt(now + GATE_WAIT),)
    if not isinstance(observed.hold, Mine):
        return _out_of_line(observed.hold)
    if run is not None:
        return (WakeAt(now + DELETION_WAIT),)
    if observed.remains:
        return (WakeAt(now + REMAINS_WAIT),)
    message = f"target {execution.spec.target} is free"
    released = EmitEvent(EventReason.LOCK_RELEASED, message, execution.status.attempt)
    # What stands there of somebody else may be gone before the next one looks, but not what it leaves behind.
    return (released, ReleaseTarget(observed.hold.fence, clean=observed.run is None))


def _out_of_line(hold: HoldView) -> tuple[Action, ...]:
    in_line = isinstance(hold, Free) or (isinstance(hold, Busy) and hold.position > 0)
    return (LeaveLine(),) if in_line else ()
