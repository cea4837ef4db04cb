"""The status read from the JSON of the CRD; what somebody else broke in it reads as unset.

How it is written is `status_document`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

from models.hold import read_fence
from models.instants import read_instant
from models.status import (
    Clearance,
    ClearMethod,
    Condition,
    Fact,
    FactType,
    FailureDetails,
    FailureReason,
    Phase,
    QueuePlace,
    Request,
    RunStatus,
    SkipDetails,
    SkipReason,
    Status,
)

T = TypeVar("T", bound=StrEnum)

MOST_ATTEMPTS = 1_000_000
"""Far above every limit of ours, far below the int32 at which the API server refuses the next one."""


def read_status(document: Mapping[str, Any]) -> Status:
    """Read the status of an object from the API server."""
    run_ref = document.get("pipelineRunRef") or {}
    return Status(
        phase=_member(Phase, document.get("phase")) or Phase.PENDING,
        reason=document.get("reason") or "",
        observed_generation=document.get("observedGeneration"),
        attempt=_count(document.get("attempt")),
        started_at=read_instant(document.get("startTime")),
        completed_at=read_instant(document.get("completionTime")),
        duration=document.get("duration") or "",
        run_name=run_ref.get("name") or "",
        run_status=_read_run_status(document.get("pipelineRunStatus")),
        failures=_count(document.get("consecutiveFailures")),
        next_allowed=read_instant(document.get("nextAllowedExecution")),
        failure=_read_failure(document.get("failureDetails")),
        conditions=tuple(c for c in map(_read_condition, document.get("conditions") or ()) if c is not None),
        pending_facts=_read_facts((document.get("audit") or {}).get("pending")),
        queue=_read_queue(document.get("queue")),
        fence=read_fence((document.get("lock") or {}).get("fence")),
        skip=_read_skip(document.get("skipDetails")),
        clearance=_read_clearance(document.get("blockClearance")),
        cancellation=_read_request(document.get("cancellation")),
        unlock=_read_request(document.get("unlock")),
    )


def _read_run_status(document: Mapping[str, Any] | None) -> RunStatus | None:
    if not document:
        return None
    return RunStatus(
        status=document.get("status") or "",
        reason=document.get("reason") or "",
        message=document.get("message") or "",
        completed_tasks=document.get("completedTasks") or 0,
        total_tasks=document.get("totalTasks") or 0,
    )


def _read_failure(document: Mapping[str, Any] | None) -> FailureDetails | None:
    failed_at = read_instant((document or {}).get("failedAt"))
    if not document or failed_at is None:
        return None
    return FailureDetails(
        reason=_member(FailureReason, document.get("reason")) or FailureReason.UNKNOWN,
        message=document.get("message") or "",
        failed_at=failed_at,
        summary=document.get("naturalLanguageSummary") or "",
        started=bool(document.get("wasExecutionFailure")),
        task_index=document.get("failedTaskIndex") or 0,
        task_name=document.get("failedTaskName") or "",
        step_name=document.get("failedStepName") or "",
        exit_code=document.get("exitCode"),
        run_time=document.get("executionTimeBeforeFailure") or "",
    )


def _read_condition(document: Mapping[str, Any]) -> Condition | None:
    since = read_instant(document.get("lastTransitionTime"))
    if since is None:
        return None
    status = {"True": True, "False": False}.get(document.get("status") or "")
    return Condition(
        type=document["type"],
        status=status,
        reason=document.get("reason") or "",
        message=document.get("message") or "",
        since=since,
        generation=document.get("observedGeneration"),
    )


def _read_facts(documents: list[Mapping[str, Any]] | None) -> tuple[Fact, ...]:
    facts = []
    for document in documents or ():
        kind, at = _member(FactType, document.get("type")), read_instant(document.get("at"))
        if kind is not None and at is not None:
            facts.append(Fact(kind, _count(document.get("attempt")), at))
    return tuple(facts)


def _read_queue(document: Mapping[str, Any] | None) -> QueuePlace | None:
    since = read_instant((document or {}).get("since"))
    if not document or since is None:
        return None
    return QueuePlace(document.get("position") or 0, document.get("holder") or "", since)


def _read_skip(document: Mapping[str, Any] | None) -> SkipDetails | None:
    reason = _member(SkipReason, (document or {}).get("reason"))
    skipped_at = read_instant((document or {}).get("skippedAt"))
    if not document or reason is None or skipped_at is None:
        return None
    recent = document.get("recentRemediation") or {}
    met = recent or document.get("conflictingWorkflow") or {}
    return SkipDetails(
        reason=reason,
        message=document.get("message") or "",
        skipped_at=skipped_at,
        holder=met.get("name") or "",
        workflow_id=met.get("workflowId") or "",
        target=met.get("targetResource") or "",
        started_at=read_instant(met.get("startedAt")),
        ended_at=read_instant(met.get("completedAt")),
        outcome=met.get("outcome") or "",
        cooldown_remaining=met.get("cooldownRemaining") or "",
    )


def _read_request(document: Mapping[str, Any] | None) -> Request | None:
    at = read_instant((document or {}).get("at"))
    if not document or at is None:
        return None
    return Request(at=at, by=document.get("by") or "", reason=document.get("reason") or "")


def _read_clearance(document: Mapping[str, Any] | None) -> Clearance | None:
    """Read a clearance, ours or one that somebody wrote into the status."""
    if not document:
        return None
    return Clearance(
        at=read_instant(document.get("clearedAt")),
        by=document.get("clearedBy") or "",
        reason=document.get("clearReason") or "",
        method=_member(ClearMethod, document.get("clearMethod")) or ClearMethod.STATUS_FIELD,
    )


def _count(value: object) -> int:
    """Read a number of attempts; one that could not be counted on and written back is brought into bounds."""
    return min(max(value, 0), MOST_ATTEMPTS) if isinstance(value, int) else 0


def _member(enum: type[T], value: object) -> T | None:
    return next((member for member in enum if member.value == value), None)
