"""Executions, runs and observations with everything a test does not care about filled in."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from models.actions import Action, EmitEvent, EventReason, PatchStatus
from models.execution import Execution, Spec
from models.hold import Busy, Free, HoldView, Mine
from models.keys import Key
from models.names import ANNOTATION_ATTEMPT, ANNOTATION_FENCE, ANNOTATION_UID, FINALIZER
from models.observed import Observed
from models.policy import Policy
from models.run import Run
from models.status import Phase, Status
from models.target import run_name
from models.task_run import Step, TaskRun

NOW = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)
BORN = NOW - timedelta(seconds=30)
TARGET = "payment/deployment/payment-api"
UID = "0a1b"
POLICY = Policy()
MINE = Mine(fence=7, since=NOW - timedelta(seconds=1))
BUSY = Busy(Key("default", "restart"), "9f9f", NOW - timedelta(seconds=5), 1)


def spec(**changes: Any) -> Spec:
    plain = Spec(
        workflow_id="restart",
        workflow_version="1.0.0",
        image="registry.example/restart:v1",
        target=TARGET,
        parameters={"GRACE": "30"},
    )
    return replace(plain, **changes)


def execution(status: Status | None = None, **changes: Any) -> Execution:
    plain = Execution(
        key=Key("default", "again"),
        uid=UID,
        resource_version="42",
        generation=1,
        created_at=BORN,
        deleted_at=None,
        finalizers=(FINALIZER,),
        labels={},
        annotations={},
        spec=spec(),
        status=status or Status(),
    )
    return replace(plain, **changes)


def running(**changes: Any) -> Status:
    plain = Status(
        phase=Phase.RUNNING,
        attempt=1,
        started_at=NOW - timedelta(seconds=10),
        run_name=run_name(TARGET),
        fence=7,
        observed_generation=1,
    )
    return replace(plain, **changes)


def ended(phase: Phase = Phase.COMPLETED, **changes: Any) -> Status:
    return replace(running(), **{"phase": phase, "completed_at": NOW - timedelta(seconds=4), **changes})


def run(**changes: Any) -> Run:
    uid = changes.pop("owner", UID)
    attempt = changes.pop("attempt", 1)
    plain = Run(
        name=run_name(TARGET),
        namespace="kubernaut-workflows",
        uid="run-1",
        created_at=NOW - timedelta(seconds=9),
        labels={},
        annotations={ANNOTATION_UID: uid, ANNOTATION_ATTEMPT: str(attempt), ANNOTATION_FENCE: "7"} if uid else {},
        started_at=NOW - timedelta(seconds=8),
    )
    return replace(plain, **changes)


def succeeded(**changes: Any) -> Run:
    return replace(run(), succeeded=True, reason="Succeeded", ended_at=NOW - timedelta(seconds=1), **changes)


def failed(reason: str = "Failed", **changes: Any) -> Run:
    return replace(run(), succeeded=False, reason=reason, ended_at=NOW - timedelta(seconds=1), **changes)


def failed_task(reason: str = "StepFailed", exit_code: int = 3, **changes: Any) -> TaskRun:
    step = Step(name="act", exit_code=exit_code, reason="Error")
    plain = TaskRun(name="t", pipeline_task="act", index=0, succeeded=False, reason=reason, steps=(step,))
    return replace(plain, **changes)


def seen(hold: HoldView | None = None, **changes: Any) -> Observed:
    return Observed(hold=hold if hold is not None else Free(), **changes)


def status_of(actions: tuple[Action, ...]) -> Status:
    """Return the status that the actions write; there must be exactly one write, and nothing is told before it."""
    writes = [action.status for action in actions if isinstance(action, PatchStatus)]
    assert len(writes) == 1, actions
    assert isinstance(actions[0], PatchStatus), actions
    return writes[0]


def events_of(actions: tuple[Action, ...]) -> list[EventReason]:
    return [action.reason for action in actions if isinstance(action, EmitEvent)]
