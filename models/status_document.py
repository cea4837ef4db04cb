"""The status as the JSON of the CRD: read, written, and the difference of two as a merge patch.

A merge patch names only what changed, so fields that somebody else writes stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from models.hold import read_fence
from models.instants import format_instant, read_instant
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

_MOST_ATTEMPTS = 1_000_000
"""Far above every limit of ours, far below the int32 at which the API server refuses the next one."""


def status_patch(old: Status, new: Status) -> dict[str, Any]:
    """Return the JSON merge patch (RFC 7386) that turns one status into the other; empty when nothing changed."""
    return _difference(status_document(old), status_document(new))


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if value == before:
            continue
        if isinstance(value, dict) and isinstance(before, dict):
            patch[key] = _difference(before, value)
        else:
            patch[key] = value
    return patch


def status_document(status: Status) -> dict[str, Any]:
    """Return the status as the JSON object of the CRD, without the fields that are unset."""
    fields: dict[str, Any] = {
        "phase": status.phase.value,
        "reason": status.reason or None,
        "observedGeneration": status.observed_generation,
        "attempt": status.attempt or None,
        "startTime": _instant(status.started_at),
        "completionTime": _instant(status.completed_at),
        "duration": status.duration or None,
        "pipelineRunRef": {"name": status.run_name} if status.run_name else None,
        "pipelineRunStatus": _run_status_document(status.run_status),
        "consecutiveFailures": status.failures or None,
        "nextAllowedExecution": _instant(status.next_allowed),
        "failureReason": status.failure.reason.value if status.failure else None,
        "failureDetails": _failure_document(status.failure),
        "conditions": [_condition_document(c) for c in status.conditions] or None,
        "audit": {"pending": [_fact_document(f) for f in status.pending_facts]} if status.pending_facts else None,
        "queue": _queue_document(status.queue),
        "lock": {"fence": status.fence} if status.fence is not None else None,
        "skipDetails": _skip_document(status.skip),
        "blockClearance": _clearance_document(status.clearance),
        "cancellation": _request_document(status.cancellation),
        "unlock": _request_document(status.unlock),
    }
    return _set_only(fields)


def _run_status_document(run: RunStatus | None) -> dict[str, Any] | None:
    if run is None:
        return None
    return _set_only(
        {
            "status": run.status,
            "reason": run.reason or None,
            "message": run.message or None,
            "completedTasks": run.completed_tasks,
            "totalTasks": run.total_tasks or None,
        }
    )


def _failure_document(failure: FailureDetails | None) -> dict[str, Any] | None:
    if failure is None:
        return None
    return _set_only(
        {
            "failedTaskIndex": failure.task_index,
            "failedTaskName": failure.task_name,
            "failedStepName": failure.step_name or None,
            "reason": failure.reason.value,
            "message": failure.message,
            "exitCode": failure.exit_code,
            "failedAt": format_instant(failure.failed_at),
            "executionTimeBeforeFailure": failure.run_time or None,
            "naturalLanguageSummary": failure.summary,
            "wasExecutionFailure": failure.started,
        }
    )


def _condition_document(condition: Condition) -> dict[str, Any]:
    return _set_only(
        {
            "type": str(condition.type),
            "status": "Unknown" if condition.status is None else str(condition.status),
            "reason": condition.reason,
            "message": condition.message,
            "lastTransitionTime": format_instant(condition.since),
            "observedGeneration": condition.generation,
        }
    )


def _fact_document(fact: Fact) -> dict[str, Any]:
    return {"type": fact.type.value, "attempt": fact.attempt, "at": format_instant(fact.at)}


def _queue_document(place: QueuePlace | None) -> dict[str, Any] | None:
    if place is None:
        return None
    return {"position": place.position, "holder": place.holder, "since": format_instant(place.since)}


def _skip_document(skip: SkipDetails | None) -> dict[str, Any] | None:
    """Write whom the execution met: one that was going on, or one that had ended."""
    if skip is None:
        return None
    met: dict[str, Any] = {"name": skip.holder, "workflowId": skip.workflow_id, "targetResource": skip.target}
    conflicting = recent = None
    if skip.ended_at is not None:
        recent = _set_only(
            {
                **met,
                "completedAt": format_instant(skip.ended_at),
                "outcome": skip.outcome,
                "cooldownRemaining": skip.cooldown_remaining or None,
            }
        )
    elif skip.started_at is not None:
        conflicting = {**met, "startedAt": format_instant(skip.started_at)}
    return _set_only(
        {
            "reason": skip.reason.value,
            "message": skip.message,
            "skippedAt": format_instant(skip.skipped_at),
            "conflictingWorkflow": conflicting,
            "recentRemediation": recent,
        }
    )


def _request_document(request: Request | None) -> dict[str, Any] | None:
    if request is None:
        return None
    return {"at": format_instant(request.at), "by": request.by, "reason": request.reason}


def _clearance_document(clearance: Clearance | None) -> dict[str, Any] | None:
    if clearance is None:
        return None
    return _set_only(
        {
            "clearedAt": _instant(clearance.at),
            "clearedBy": clearance.by,
            "clearReason": clearance.reason,
            "clearMethod": clearance.method.value,
        }
    )


def _instant(instant: datetime | None) -> str | None:
    return None if instant is None else format_instant(instant)


def _set_only(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def read_status(document: Mapping[str, Any]) -> Status:
    """Read the status of an object from the API server; what somebody else broke in it reads as unset."""
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
    return min(max(value, 0), _MOST_ATTEMPTS) if isinstance(value, int) else 0


def _member(enum: type[T], value: object) -> T | None:
    return next((member for member in enum if member.value == value), None)
