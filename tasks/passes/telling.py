"""Telling Kubernetes Events of a pass: in which order, how often tried. An Event never stops an execution."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import datetime

from models.actions import Action, BufferFacts, EmitEvent, EventReason
from models.errors import ExecutorError, Permanent, Transient
from models.execution import Execution
from tasks.adapters.cluster_errors import clean
from tasks.ports import Executions

log = logging.getLogger(__name__)

TRIES = 2


def events_first(actions: Sequence[Action]) -> Sequence[Action]:
    """Tell Events before their facts are buffered: a fact that the outbox knows has been told, whoever died since."""
    last = max((place for place, action in enumerate(actions) if isinstance(action, EmitEvent)), default=-1)
    early = [action for action in actions[: max(last, 0)] if isinstance(action, BufferFacts)]
    if not early:
        return actions
    kept = [action for action in actions[: last + 1] if not isinstance(action, BufferFacts)]
    return (*kept, early[0], *actions[last + 1 :])


def words_of(trouble: Exception) -> str:
    """Say that passes of an execution do not get through, and why, cut and cleaned as all that others said."""
    return f"cannot be worked on, tried again with growing delay: {clean(str(trouble)) or type(trouble).__name__}"


def trouble_event(execution: Execution, trouble: Exception) -> EmitEvent:
    """Return what is told of an execution whose passes do not get through: one that has ended keeps its target.

    Attempt 0, so that it is not taken for the Event of an end.
    """
    if isinstance(trouble, Permanent) and (execution.status.phase.terminal or execution.deleted_at is not None):
        message = (
            f"target {execution.spec.target} is not freed yet, tried again with growing delay: {clean(str(trouble))}"
        )
        return EmitEvent(EventReason.CLEANUP_FAILED, message, 0)
    return EmitEvent(EventReason.FAILED, words_of(trouble), 0)


def tell(executions: Executions, execution: Execution, event: EmitEvent, now: datetime) -> None:
    """Write an Event; one that cannot be written is logged, and lost when it had only this pass to be told."""
    trouble: ExecutorError | None = None
    for _ in range(TRIES):
        try:
            executions.emit(execution, event, now)
            return
        except Transient as fault:
            trouble = fault
        except ExecutorError as fault:
            trouble = fault
            break
    told = json.dumps({"execution": str(execution.key), "event": event.reason.value})
    log.warning("Kubernetes Event not written: %s: %s", told, trouble)
