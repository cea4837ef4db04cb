"""Everything a pass can do, as a closed union of values.

Each action is idempotent, so a pass that died may be repeated from its start. After one of `LEARNING` the world is
known better than before: it stands last in its tuple, and the decision is made anew with what was learnt. PatchStatus
is the only one that writes the status; what follows it in a tuple (facts, Kubernetes Events, wakes) tells of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from models.status import Status


class EventReason(StrEnum):
    """Reasons of Kubernetes Events on the execution (CONTRACT 4)."""

    RUN_CREATED = "PipelineRunCreated"
    COMPLETED = "WorkflowCompleted"
    FAILED = "WorkflowFailed"
    LOCK_RELEASED = "LockReleased"
    DELETED = "WorkflowExecutionDeleted"
    QUEUED = "Queued"
    RETRY_SCHEDULED = "RetryScheduled"
    RETRIES_EXHAUSTED = "RetriesExhausted"
    SKIPPED = "Skipped"
    BLOCK_CLEARED = "BlockCleared"
    CANCELLED = "Cancelled"
    CLEANUP_FAILED = "CleanupFailed"

    @property
    def warning(self) -> bool:
        return self in (EventReason.FAILED, EventReason.RETRIES_EXHAUSTED, EventReason.CLEANUP_FAILED)


@dataclass(frozen=True, slots=True)
class AddFinalizer:
    """Make the API server keep the object until we have cleaned up."""


@dataclass(frozen=True, slots=True)
class TakeTarget:
    """Take the target's hold, recognise it as ours, or join its line."""


@dataclass(frozen=True, slots=True)
class YieldTarget:
    """Give our hold to the execution whose run the API server shows, and join the line behind it."""

    fence: int


@dataclass(frozen=True, slots=True)
class CreateRun:
    """Create the run of an attempt under the fence of our hold."""

    attempt: int
    fence: int


@dataclass(frozen=True, slots=True)
class DeleteRun:
    """Delete exactly the run with this uid."""

    uid: str


@dataclass(frozen=True, slots=True)
class CancelRun:
    """Ask exactly the run with this uid to end gently; `because` ("<reason>: <message>") is for a Job that is stuck."""

    uid: str
    because: str = ""


@dataclass(frozen=True, slots=True)
class PatchStatus:
    """Write the whole status, compare-and-set on the resourceVersion it was decided on."""

    status: Status


@dataclass(frozen=True, slots=True)
class BufferFacts:
    """Put the audit events of all pending facts into the outbox, once each."""


@dataclass(frozen=True, slots=True)
class EmitEvent:
    """Tell a fact as a Kubernetes Event; its name is derived, so the API server refuses a second one."""

    reason: EventReason
    message: str
    attempt: int


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Look again at this instant, whatever else happens."""

    at: datetime


@dataclass(frozen=True, slots=True)
class WakeLine:
    """Let the first in line of our target look again: what it waits for has changed. A block concerns everyone."""

    everyone: bool = False


@dataclass(frozen=True, slots=True)
class LeaveLine:
    """Give up our place in the target's line."""


@dataclass(frozen=True, slots=True)
class ReleaseTarget:
    """Free the target if the hold still is ours under this fence, and wake the first in line.

    `clean` says that nothing was found left of earlier runs, so that the next holder need not look.
    """

    fence: int
    clean: bool = True


@dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    """Let the object go; nothing of it is left behind."""


Action = (
    AddFinalizer
    | TakeTarget
    | YieldTarget
    | CreateRun
    | DeleteRun
    | CancelRun
    | PatchStatus
    | BufferFacts
    | EmitEvent
    | WakeAt
    | WakeLine
    | LeaveLine
    | ReleaseTarget
    | RemoveFinalizer
)
LEARNING = (AddFinalizer, TakeTarget, YieldTarget, CreateRun, DeleteRun, CancelRun)
