"""What every status write has in common: the audit facts it settles, the generation it answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from models.actions import Action, BufferFacts, PatchStatus
from models.audit import event_id
from models.execution import Execution
from models.observed import Observed
from models.run import Run
from models.status import ConditionType, Fact, Phase, RunStatus, Status, WaitReason

AUDIT_FAILED = "AuditFailed"
_LONGEST_PROBLEM = 1024


def write(execution: Execution, observed: Observed, new: Status, now: datetime) -> tuple[Action, ...]:
    settled = settle_audit(execution, new, observed, now)
    return (PatchStatus(settled), *facts(settled))


def keep(execution: Execution, observed: Observed, now: datetime, *wakes: Action) -> tuple[Action, ...]:
    """Change nothing but what DataStorage said of our facts: all acknowledged, or one refused for good.

    One acknowledged among others waits for them or for the next transition: it is not worth a write of its own.
    """
    settled = settle_audit(execution, execution.status, observed, now)
    if settled != execution.status and (not settled.pending_facts or _refusal_changed(execution.status, settled)):
        return (PatchStatus(settled), *facts(settled), *wakes)
    return (*facts(execution.status), *wakes)


def _refusal_changed(before: Status, after: Status) -> bool:
    words = [
        condition.message if condition is not None and condition.reason == AUDIT_FAILED else ""
        for condition in (before.condition(ConditionType.AUDIT), after.condition(ConditionType.AUDIT))
    ]
    return words[0] != words[1]


def touched(execution: Execution) -> Status:
    status = execution.status
    return replace(status, observed_generation=execution.generation, attempt=max(status.attempt, 1))


def waits_elsewhere(status: Status) -> Status:
    """Return the status of one that waits for something new: it stands in no line, and has the engine it waited for.

    Place 0, for that it stood in line is told only once.
    """
    if status.reason == WaitReason.ENGINE_UNAVAILABLE and status.phase is Phase.PENDING:
        status = status.without_condition(ConditionType.CREATED)
    return status if status.queue is None else replace(status, queue=replace(status.queue, position=0, holder=""))


def facts(status: Status) -> tuple[Action, ...]:
    return (BufferFacts(),) if status.pending_facts else ()


def settle_audit(execution: Execution, status: Status, observed: Observed, now: datetime) -> Status:
    """Drop the facts that DataStorage acknowledged and say what is true of the rest.

    One that it refused stays: it may be accepted once somebody has mended what was wrong.
    """
    ids = {fact: event_id(execution.uid, fact.type, fact.attempt) for fact in status.pending_facts}
    left = tuple(fact for fact in status.pending_facts if ids[fact] not in observed.acknowledged)
    status = replace(status, pending_facts=left)
    refused = [
        _refused(fact, observed.refused_facts[ids[fact]]) for fact in left if ids[fact] in observed.refused_facts
    ]
    if refused:
        return status.with_condition(ConditionType.AUDIT, False, AUDIT_FAILED, "; ".join(refused), now)
    if left:
        names = ", ".join(f.type.value for f in left)
        return status.with_condition(
            ConditionType.AUDIT,
            False,
            "AuditPending",
            f"not acknowledged by DataStorage when this was written: {names}",
            now,
        )
    if status.condition(ConditionType.AUDIT) is None:
        return status
    return status.with_condition(
        ConditionType.AUDIT, True, "AuditSucceeded", "DataStorage acknowledged every event so far", now
    )


def _refused(fact: Fact, problem: str) -> str:
    return f"DataStorage refused {fact.type.value} of attempt {fact.attempt}: {problem[:_LONGEST_PROBLEM]}"


def run_status(run: Run) -> RunStatus:
    word = {True: "True", False: "False", None: "Unknown"}[run.succeeded]
    return RunStatus(word, run.reason[:1024], run.message[:4096], run.completed_tasks, run.total_tasks)
