"""What every status write has in common: the audit facts it settles, the generation it answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from models.actions import Action, BufferFacts, PatchStatus
from models.audit import event_id
from models.execution import Execution
from models.observed import Observed
from models.run import Run
from models.status import ConditionType, RunStatus, Status


def write(execution: Execution, observed: Observed, new: Status, now: datetime) -> tuple[Action, ...]:
    settled = settle_audit(execution, new, observed.acknowledged, now)
    return (PatchStatus(settled), *facts(settled))


def keep(execution: Execution, observed: Observed, now: datetime, *wakes: Action) -> tuple[Action, ...]:
    """Change nothing but that DataStorage acknowledged every fact; facts it did not are buffered again.

    One acknowledged among others waits for them or for the next transition: it is not worth a write of its own.
    """
    settled = settle_audit(execution, execution.status, observed.acknowledged, now)
    if settled != execution.status and not settled.pending_facts:
        return (PatchStatus(settled), *facts(settled), *wakes)
    return (*facts(execution.status), *wakes)


def touched(execution: Execution) -> Status:
    status = execution.status
    return replace(status, observed_generation=execution.generation, attempt=max(status.attempt, 1))


def facts(status: Status) -> tuple[Action, ...]:
    return (BufferFacts(),) if status.pending_facts else ()


def settle_audit(execution: Execution, status: Status, acknowledged: frozenset[str], now: datetime) -> Status:
    left = tuple(f for f in status.pending_facts if event_id(execution.uid, f.type, f.attempt) not in acknowledged)
    status = replace(status, pending_facts=left)
    if left:
        names = ", ".join(f.type.value for f in left)
        return status.with_condition(
            ConditionType.AUDIT, False, "AuditPending", f"not yet acknowledged by DataStorage: {names}", now
        )
    if status.condition(ConditionType.AUDIT) is None:
        return status
    return status.with_condition(
        ConditionType.AUDIT, True, "AuditSucceeded", "DataStorage acknowledged every event so far", now
    )


def run_status(run: Run) -> RunStatus:
    word = {True: "True", False: "False", None: "Unknown"}[run.succeeded]
    return RunStatus(word, run.reason[:1024], run.message[:4096], run.completed_tasks, run.total_tasks)
