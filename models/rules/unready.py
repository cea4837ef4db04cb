"""Waiting for the surroundings: a run cannot be created now, whoever has the target."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from models.actions import Action, LeaveLine, ReleaseTarget, WakeAt
from models.execution import Execution
from models.hold import GateClosed, HoldView, Mine
from models.observed import Observed
from models.rules.writing import keep, touched, waits_elsewhere, write
from models.status import ConditionType, Phase, WaitReason

LOOK_AGAIN = timedelta(seconds=30)
"""The watcher sees a freeze end and an engine come; this is for the day it does not."""


def wait_frozen(execution: Execution, observed: Observed, now: datetime) -> tuple[Action, ...]:
    """Stay as it is, with the target, while somebody lets nothing new start."""
    look = WakeAt(now + LOOK_AGAIN)
    if execution.status.reason == WaitReason.FROZEN:
        return keep(execution, observed, now, look)
    new = replace(waits_elsewhere(touched(execution)), reason=WaitReason.FROZEN.value)
    return (*write(execution, observed, new.without_condition(ConditionType.LOCKED), now), look)


def wait_for_engine(execution: Execution, observed: Observed, now: datetime) -> tuple[Action, ...]:
    """Stay as it is while nothing here can carry out the engine that was asked for.

    Before its start an execution gives up its target and its place in line; between attempts it keeps its target,
    which rests from the attempt before.
    """
    status = execution.status
    freed = _freed(observed.hold) if status.phase is Phase.PENDING else ()
    look = WakeAt(now + LOOK_AGAIN)
    if status.reason == WaitReason.ENGINE_UNAVAILABLE:
        return (*keep(execution, observed, now, look), *freed)
    new = replace(waits_elsewhere(touched(execution)), reason=WaitReason.ENGINE_UNAVAILABLE.value)
    new = new.without_condition(ConditionType.LOCKED)
    if status.phase is Phase.PENDING:
        engine = execution.spec.engine.value
        message = f"engine {engine} is not available: the API server does not know the kind of its runs"
        new = new.with_condition(ConditionType.CREATED, False, "PipelineCreationFailed", message, now)
    return (*write(execution, observed, new, now), look, *freed)


def _freed(hold: HoldView) -> tuple[Action, ...]:
    match hold:
        case Mine(fence=fence):
            return (ReleaseTarget(fence, clean=False),)
        case GateClosed():
            return ()
        case _:
            return (LeaveLine(),)
