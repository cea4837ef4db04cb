"""Pending: validate, take the target or wait for it, create the run or adopt it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import assert_never

from models.actions import (
    Action,
    AddFinalizer,
    CreateRun,
    DeleteRun,
    TakeTarget,
    WakeAt,
    YieldTarget,
)
from models.execution import Engine, Execution
from models.hold import Busy, Free, GateClosed, Mine
from models.observed import Observed
from models.policy import Policy
from models.rules.cancelling import cancel_asked, cancel_before_start
from models.rules.ending import fail, plain_details
from models.rules.starting import creation_refused, start
from models.rules.taken import meet_holder
from models.rules.unready import wait_for_engine, wait_frozen
from models.rules.waiting import wait_for_orphan, wait_for_remains
from models.rules.writing import keep
from models.run import Ownership, Run
from models.status import FailureReason
from models.validation import find_fault, too_large

GATE_WAIT = timedelta(seconds=2)
DELETION_WAIT = timedelta(seconds=5)
REMAINS_WAIT = timedelta(milliseconds=500)


def begin(execution: Execution, observed: Observed, now: datetime, policy: Policy, jitter: float) -> tuple[Action, ...]:
    """Decide for an execution that has not started."""
    if not execution.guarded and not too_large(execution.spec):
        return (AddFinalizer(),)
    fault = find_fault(execution.spec)
    if fault is not None:
        return fail(execution, observed, plain_details(FailureReason.CONFIGURATION_ERROR, fault, now), now, policy)
    if cancel_asked(execution):
        return cancel_before_start(execution, observed, now, policy)
    if not observed.engine_available:
        return wait_for_engine(execution, observed, now)
    match observed.hold:
        case GateClosed():
            return keep(execution, observed, now, WakeAt(now + GATE_WAIT))
        case Free():
            return (TakeTarget(),)
        case Busy() as busy:
            return meet_holder(execution, observed, busy, now, policy)
        case Mine() as mine:
            return _with_target(execution, observed, mine, now, policy, jitter)
        case _ as never:
            assert_never(never)


def _with_target(
    execution: Execution, observed: Observed, mine: Mine, now: datetime, policy: Policy, jitter: float
) -> tuple[Action, ...]:
    if observed.refusal is not None:
        return creation_refused(execution, observed, observed.refusal, now, policy, jitter)
    run = observed.run
    if run is not None and run.ownership(execution) is Ownership.OURS and not run.deleting:
        # Pending has recorded no run, so this one's creation was thought to have failed: its answer was late or lost.
        return start(execution, observed, run, mine, now)
    due = execution.status.next_allowed
    if due is not None and now < due:
        return keep(execution, observed, now, WakeAt(due))
    return create_or_adopt(execution, observed, mine, now, policy)


def create_or_adopt(
    execution: Execution, observed: Observed, mine: Mine, now: datetime, policy: Policy
) -> tuple[Action, ...]:
    """Answer what stands under the run's name: nothing, ours, a living one's, an orphan, or a foreign one."""
    run = observed.run
    if run is None and observed.remains:
        return (*wait_for_remains(execution, observed, now), WakeAt(now + REMAINS_WAIT))
    if run is None and not observed.engine_available:
        return wait_for_engine(execution, observed, now)
    if run is None and observed.frozen is not None:
        return wait_frozen(execution, observed, now)
    if run is None:
        return (CreateRun(execution.next_attempt, mine.fence),)
    match run.ownership(execution):
        case Ownership.OURS if run.deleting:
            return keep(execution, observed, now, WakeAt(now + DELETION_WAIT))
        case Ownership.OURS if run.attempt < execution.next_attempt:
            return (DeleteRun(run.uid),)
        case Ownership.OURS:
            return start(execution, observed, run, mine, now)
        case Ownership.ANOTHERS if observed.run_owner_lives and not observed.run_owner_elsewhere:
            return (YieldTarget(mine.fence),)
        case Ownership.ANOTHERS if not observed.run_owner_lives:
            return _behind_orphan(execution, observed, run, now, policy)
        case Ownership.FOREIGN | Ownership.ANOTHERS:
            return _lost_to_foreign(execution, observed, run, now, policy)
        case _ as never:
            assert_never(never)


def _behind_orphan(
    execution: Execution, observed: Observed, run: Run, now: datetime, policy: Policy
) -> tuple[Action, ...]:
    """Let a run of ours whose execution is gone end and cool down, then delete it.

    Its end is routed to the execution that is gone, so we look for it ourselves.
    """
    if run.succeeded is None or run.deleting:
        return (*wait_for_orphan(execution, observed, run, now), WakeAt(now + DELETION_WAIT))
    rested = (run.ended_at or run.created_at) + policy.cooldown
    if now < rested:
        return (*wait_for_orphan(execution, observed, run, now), WakeAt(rested))
    return (DeleteRun(run.uid),)


def _lost_to_foreign(
    execution: Execution, observed: Observed, run: Run, now: datetime, policy: Policy
) -> tuple[Action, ...]:
    words = "and is not ours" if run.engine is Engine.TEKTON else f"as a {run.kind}, which is not ours"
    message = f"Race condition: PipelineRun {run.name} already exists in namespace {run.namespace} {words}"
    return fail(execution, observed, plain_details(FailureReason.UNKNOWN, message, now), now, policy)
