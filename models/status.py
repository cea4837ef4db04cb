"""The status of an execution as a value.

The status is the only record of what happened: phase, attempts, due instants and audit facts survive here and nowhere
else. How it looks as JSON is written by `status_document` and read by `status_reading`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum


class Phase(StrEnum):
    """Phases only move Pending→Running→{Completed,Failed} and Pending→{Failed,Skipped}."""

    PENDING = "Pending"
    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"
    SKIPPED = "Skipped"

    @property
    def terminal(self) -> bool:
        return self in (Phase.COMPLETED, Phase.FAILED, Phase.SKIPPED)


class FailureReason(StrEnum):
    """The CRD's closed set; a value outside it would be refused by the API server for ever."""

    OOM_KILLED = "OOMKilled"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    FORBIDDEN = "Forbidden"
    RESOURCE_EXHAUSTED = "ResourceExhausted"
    CONFIGURATION_ERROR = "ConfigurationError"
    IMAGE_PULL_BACK_OFF = "ImagePullBackOff"
    TASK_FAILED = "TaskFailed"
    UNKNOWN = "Unknown"


class WaitReason(StrEnum):
    """Why an execution that has not ended is not running."""

    TARGET_BUSY = "TargetResourceBusy"
    RECENTLY_REMEDIATED = "RecentlyRemediated"
    PREVIOUS_FAILED = "PreviousExecutionFailed"
    BACKING_OFF = "BackingOff"
    FROZEN = "Frozen"
    ENGINE_UNAVAILABLE = "EngineUnavailable"


class SkipReason(StrEnum):
    """Why an execution whose policy is Skip was not run (CONTRACT 1, skipDetails)."""

    RESOURCE_BUSY = "ResourceBusy"
    RECENTLY_REMEDIATED = "RecentlyRemediated"
    EXHAUSTED_RETRIES = "ExhaustedRetries"
    PREVIOUS_FAILED = "PreviousExecutionFailed"


class ClearMethod(StrEnum):
    """How a block was cleared; the CRD's closed set. We write Annotation only."""

    ANNOTATION = "Annotation"
    API_ENDPOINT = "APIEndpoint"
    STATUS_FIELD = "StatusField"


class FactType(StrEnum):
    """What an audit event can tell; the value is its `event_type`."""

    STARTED = "workflow.started"
    COMPLETED = "workflow.completed"
    FAILED = "workflow.failed"
    SKIPPED = "workflow.skipped"
    QUEUED = "workflow.queued"
    RETRYING = "workflow.retrying"
    BLOCK_CLEARED = "workflow.block_cleared"
    CANCELLED = "workflow.cancelled"
    UNLOCKED = "workflow.unlocked"


class ConditionType(StrEnum):
    CREATED = "TektonPipelineCreated"
    RUNNING = "TektonPipelineRunning"
    COMPLETE = "TektonPipelineComplete"
    AUDIT = "AuditRecorded"
    LOCKED = "ResourceLocked"


@dataclass(frozen=True, slots=True)
class Condition:
    """One status condition; `since` is its lastTransitionTime."""

    type: str
    status: bool | None
    reason: str
    message: str
    since: datetime
    generation: int | None = None


@dataclass(frozen=True, slots=True)
class Fact:
    """An audit fact that DataStorage has not acknowledged yet."""

    type: FactType
    attempt: int
    at: datetime


@dataclass(frozen=True, slots=True)
class QueuePlace:
    """Where an execution stands in the line of its target, 0 when it left it; `holder` is `namespace/name`."""

    position: int
    holder: str
    since: datetime


@dataclass(frozen=True, slots=True)
class RunStatus:
    """What the run last said of itself (`status` is that of its Succeeded condition)."""

    status: str
    reason: str = ""
    message: str = ""
    completed_tasks: int = 0
    total_tasks: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureDetails:
    """Everything an operator needs about a failure; `started` says whether a task had begun to act on the target."""

    reason: FailureReason
    message: str
    failed_at: datetime
    summary: str
    started: bool
    task_index: int = 0
    task_name: str = ""
    step_name: str = ""
    exit_code: int | None = None
    run_time: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipDetails:
    """Why an execution was skipped, and for whom: `holder` is the execution that has the target, by name."""

    reason: SkipReason
    message: str
    skipped_at: datetime
    holder: str
    workflow_id: str
    target: str
    started_at: datetime | None = None
    ended_at: datetime | None = None
    outcome: str = ""
    cooldown_remaining: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a person asked of an execution: when we saw it, who and why. `by` may start with `unverified:`."""

    at: datetime
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Clearance:
    """Who lifted the block of a failed execution, when and why. `by` starts with `unverified:` where nobody vouched."""

    at: datetime | None
    by: str
    reason: str
    method: ClearMethod


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The fields of the status that the executor writes."""

    phase: Phase = Phase.PENDING
    reason: str = ""
    observed_generation: int | None = None
    attempt: int = 0
    started_at: datetime | None = None
    completed_at: datetime | None = None
    duration: str = ""
    run_name: str = ""
    run_status: RunStatus | None = None
    failures: int = 0
    next_allowed: datetime | None = None
    failure: FailureDetails | None = None
    conditions: tuple[Condition, ...] = ()
    pending_facts: tuple[Fact, ...] = ()
    queue: QueuePlace | None = None
    fence: int | None = None
    skip: SkipDetails | None = None
    clearance: Clearance | None = None
    cancellation: Request | None = None
    unlock: Request | None = None

    def condition(self, kind: ConditionType) -> Condition | None:
        """Return the condition of a type, None while it was never set."""
        return next((c for c in self.conditions if c.type == kind), None)

    def with_condition(self, kind: ConditionType, status: bool, reason: str, message: str, now: datetime) -> Status:
        """Set a condition; its transition instant moves only when its status changes (Kubernetes API conventions)."""
        old = self.condition(kind)
        since = old.since if old is not None and old.status == status else now
        new = Condition(kind, status, reason, message[:32768], since, self.observed_generation)
        if old is None:
            return replace(self, conditions=(*self.conditions, new))
        return replace(self, conditions=tuple(new if c is old else c for c in self.conditions))

    def without_condition(self, kind: ConditionType) -> Status:
        return replace(self, conditions=tuple(c for c in self.conditions if c.type != kind))

    def with_fact(self, kind: FactType, attempt: int, at: datetime) -> Status:
        """Add an audit fact once; a fact is known by its type and attempt."""
        if any(f.type == kind and f.attempt == attempt for f in self.pending_facts):
            return self
        return replace(self, pending_facts=(*self.pending_facts, Fact(kind, attempt, at)))
