"""What lets a target go before its time: a cleared block, an unlock, the deletion of the execution that blocks."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from models.actions import Action, EmitEvent, EventReason, WakeAt, WakeLine
from models.execution import Execution
from models.hold import Mine
from models.names import ASK_CLEAR, ASK_UNLOCK
from models.observed import Observed
from models.policy import Policy
from models.rules.asking import UNVERIFIED, request, unverified
from models.rules.cooldown import blocks, keeps_target
from models.rules.writing import touched, write
from models.status import Clearance, ClearMethod, FactType

DELETED = "the execution was deleted"


def lift(execution: Execution, observed: Observed, now: datetime, policy: Policy) -> tuple[Action, ...]:
    """Answer an ask to clear or to unlock an execution that has ended; nothing when there is none to answer."""
    status = execution.status
    unlock = request(execution, observed, ASK_UNLOCK, now)
    needed = isinstance(observed.hold, Mine) or keeps_target(status, now, policy)
    if unlock is not None and status.unlock is None and needed:
        new = replace(touched(execution), unlock=unlock).with_fact(FactType.UNLOCKED, status.attempt, now)
        return (*write(execution, observed, new, now), WakeLine(everyone=blocks(status, policy)), WakeAt(now))
    clear = request(execution, observed, ASK_CLEAR, now)
    if clear is not None and blocks(status, policy):
        clearance = Clearance(at=clear.at, by=clear.by, reason=clear.reason, method=ClearMethod.ANNOTATION)
        return _clear(execution, observed, clearance, now)
    if _written_by_hand(execution) and blocks(replace(status, clearance=None), policy):
        return _adopt_clearance(execution, observed, now)
    return ()


def clear_by_deletion(execution: Execution, observed: Observed, now: datetime) -> tuple[Action, ...]:
    """Record that an execution that blocks its target is being deleted: the API server does not tell us by whom."""
    clearance = Clearance(at=now, by=unverified(""), reason=DELETED, method=ClearMethod.API_ENDPOINT)
    return _clear(execution, observed, clearance, now)


def _written_by_hand(execution: Execution) -> bool:
    """Say whether a clearance came through the status and has not been told yet.

    Those that we tell have an instant, and are marked where nobody vouched; of one that merely looks like that the API
    server knows who wrote it.
    """
    clearance = execution.status.clearance
    if clearance is None:
        return False
    marked = clearance.by.startswith(UNVERIFIED) and clearance.at is not None
    return execution.cleared_by_hand if clearance.method is ClearMethod.ANNOTATION or marked else True


def _adopt_clearance(execution: Execution, observed: Observed, now: datetime) -> tuple[Action, ...]:
    clearance = execution.status.clearance
    assert clearance is not None
    method = ClearMethod.STATUS_FIELD if clearance.method is ClearMethod.ANNOTATION else clearance.method
    told = replace(clearance, at=clearance.at or now, by=unverified(clearance.by[:253]), method=method)
    if told == clearance:
        # What does not change stays its author's at the API server, and would be told by each pass.
        told = replace(told, at=now)
    return _clear(execution, observed, told, now)


def _clear(execution: Execution, observed: Observed, clearance: Clearance, now: datetime) -> tuple[Action, ...]:
    attempt = execution.status.attempt
    new = replace(touched(execution), clearance=clearance).with_fact(FactType.BLOCK_CLEARED, attempt, now)
    message = f"block of target {execution.spec.target} cleared by {clearance.by}: {clearance.reason}"
    told = EmitEvent(EventReason.BLOCK_CLEARED, message, attempt)
    return (*write(execution, observed, new, now), told, WakeLine(everyone=True), WakeAt(now))
