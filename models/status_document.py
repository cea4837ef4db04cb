"""The status written as the JSON of the CRD, and the difference of two as a merge patch.

A merge patch names only what changed, so fields that somebody else writes stay as they are. How the JSON is read is
`status_reading`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from models.instants import format_instant
from models.status import (
    Clearance,
    Condition,
    Fact,
    FailureDetails,
    QueuePlace,
    Request,
    RunStatus,
    SkipDetails,
    Status,
)


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
