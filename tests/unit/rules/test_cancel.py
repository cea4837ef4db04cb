"""Cancel as a table: where an execution stands when it is asked to end, and what is done about it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from models.actions import Action, CancelRun, CreateRun, DeleteRun, EventReason, TakeTarget, WakeAt
from models.audit import pending_events
from models.decide import decide
from models.execution import Engine, Execution
from models.hold import Busy, Free, GateClosed
from models.names import ASK_CANCEL, REQUESTED_BY
from models.observed import Observed
from models.rules.cancelling import BEGUN, UNBEGUN
from models.status import FactType, FailureReason, Phase, Request, Status
from tests.unit.rules.builders import (
    BUSY,
    MINE,
    NOW,
    POLICY,
    ended,
    events_of,
    execution,
    failed,
    failed_task,
    run,
    running,
    seen,
    spec,
    status_of,
    succeeded,
)

ASK = {ASK_CANCEL: "wrong cluster", REQUESTED_BY: "alice"}
RECORDED = Request(at=NOW - timedelta(seconds=5), by="alice", reason="wrong cluster")
LATE = Request(at=NOW - POLICY.cancel_timeout, by="alice", reason="wrong cluster")
MESSAGE = "cancelled by alice: wrong cluster"


def asked(status: Status | None = None, **changes: Any) -> Execution:
    return execution(status, annotations=ASK, **changes)


def decided(what: Execution, observed: Observed) -> tuple[Action, ...]:
    return decide(what, replace(observed, requester_verified=True), NOW, policy=POLICY)


def facts(status: Status) -> list[FactType]:
    return [fact.type for fact in status.pending_facts]


@pytest.mark.parametrize("hold", [BUSY, replace(BUSY, position=3), Free(), MINE, GateClosed()])
def test_without_a_run_it_has_failed_at_once(hold: Any) -> None:
    actions = decided(asked(), seen(hold))
    status = status_of(actions)
    assert (status.phase, status.reason) == (Phase.FAILED, FailureReason.UNKNOWN)
    assert status.failure is not None
    assert (status.failure.message, status.failure.started) == (MESSAGE, False)
    assert status.cancellation == Request(at=NOW, by="alice", reason="wrong cluster")
    assert facts(status) == [FactType.CANCELLED, FactType.FAILED]
    assert set(events_of(actions)) == {EventReason.FAILED, EventReason.CANCELLED}


def test_backing_off_it_has_failed_at_once_and_no_attempt_follows() -> None:
    waiting = Status(attempt=2, failures=2, next_allowed=NOW - timedelta(seconds=1), fence=7)
    actions = decided(asked(waiting), seen(MINE))
    assert not any(isinstance(action, CreateRun) for action in actions)
    assert status_of(actions).phase is Phase.FAILED
    refused = replace(running(attempt=1, failures=1), next_allowed=NOW - timedelta(seconds=1))
    status = status_of(decided(asked(refused), seen(MINE, run=failed("CouldntGetPipeline"))))
    assert status.failure is not None
    assert (status.phase, status.failure.started) == (Phase.FAILED, False)


def test_a_run_nobody_told_of_is_taken_first() -> None:
    assert decided(asked(), seen(Free(), run=run())) == (TakeTarget(),)
    actions = decided(asked(), seen(MINE, run=run()))
    assert status_of(actions).phase is Phase.RUNNING
    assert actions[-1] == WakeAt(NOW)


def test_the_ask_is_recorded_then_carried_out() -> None:
    first = decided(asked(running()), seen(MINE, run=run()))
    status = status_of(first)
    assert (status.phase, facts(status), events_of(first)) == (
        Phase.RUNNING,
        [FactType.CANCELLED],
        [EventReason.CANCELLED],
    )
    assert first[-1] == WakeAt(NOW)
    recorded = running(cancellation=RECORDED)
    assert decided(asked(recorded), seen(MINE, run=run())) == (CancelRun("run-1", UNBEGUN),)
    begun = seen(MINE, run=run(), task_runs=(failed_task(),))
    assert decided(asked(recorded), begun) == (CancelRun("run-1", BEGUN),)


def test_an_ask_that_was_taken_back_after_it_was_recorded_is_carried_out() -> None:
    assert decided(execution(running(cancellation=RECORDED)), seen(MINE, run=run())) == (CancelRun("run-1", UNBEGUN),)


def test_asked_once_the_run_is_left_to_end() -> None:
    recorded = running(cancellation=RECORDED)
    assert decided(asked(recorded), seen(MINE, run=run(cancelling=True))) == (
        WakeAt(RECORDED.at + POLICY.cancel_timeout),
    )


def test_a_run_that_does_not_end_is_deleted_and_then_it_has_failed() -> None:
    late = running(cancellation=LATE)
    assert decided(asked(late), seen(MINE, run=run(cancelling=True))) == (DeleteRun("run-1"),)
    for left in (None, run(deleting=True)):
        assert status_of(decided(asked(late), seen(MINE, run=left))).phase is Phase.FAILED


@pytest.mark.parametrize(
    ("observed", "started"),
    [
        (seen(MINE, run=failed("Cancelled", total_tasks=1), task_runs=(failed_task("TaskRunCancelled", 1),)), True),
        (seen(MINE, run=failed("Cancelled", total_tasks=1), task_runs=(failed_task(steps=()),)), False),
        (seen(MINE, run=failed("Cancelled", total_tasks=1)), True),
        (seen(MINE, run=failed("Cancelled", total_tasks=0)), False),
        (seen(MINE), True),
        (seen(MINE, task_runs=(failed_task(steps=()),)), False),
        (seen(MINE, run=failed("Cancelled", engine=Engine.JOB, message=BEGUN.partition(": ")[2])), True),
        (seen(MINE, run=failed("Cancelled", engine=Engine.JOB, message=UNBEGUN.partition(": ")[2])), False),
    ],
)
def test_whether_a_task_had_started_decides_whether_it_blocks(observed: Observed, started: bool) -> None:
    status = status_of(decided(asked(running(cancellation=RECORDED)), observed))
    assert status.failure is not None
    assert (status.phase, status.failure.message, status.failure.started) == (Phase.FAILED, MESSAGE, started)
    assert facts(status) == [FactType.FAILED], "the ask was told when it was recorded"


def test_what_ended_before_it_could_be_cancelled_ended_so() -> None:
    for status in (running(), running(cancellation=RECORDED)):
        assert status_of(decided(asked(status), seen(MINE, run=succeeded()))).phase is Phase.COMPLETED
    by_itself = status_of(decided(asked(running()), seen(MINE, run=failed(), task_runs=(failed_task(),))))
    assert by_itself.failure is not None
    assert (by_itself.failure.reason, by_itself.cancellation) == (FailureReason.TASK_FAILED, None)
    retried = status_of(decided(asked(running()), seen(MINE, run=failed("CouldntGetPipeline"))))
    assert (retried.phase, retried.failure and retried.failure.message) == (Phase.FAILED, MESSAGE)


def test_on_an_ended_one_nothing_is_done() -> None:
    actions = decided(asked(ended()), seen(MINE))
    assert events_of(actions) == []
    assert not any(hasattr(action, "status") for action in actions)


def test_an_empty_reason_asks_nothing() -> None:
    plain = execution(annotations={ASK_CANCEL: " "})
    assert decided(plain, seen(Free())) == (TakeTarget(),)


def test_the_audit_names_who_asked_and_why() -> None:
    status = status_of(decided(asked(), seen(BUSY)))
    told = {event.body["event_type"]: event.body for event in pending_events(execution(status))}
    assert told["workflow.cancelled"]["actor_type"] == "user"
    assert told["workflow.cancelled"]["actor_id"] == "alice"
    assert told["workflow.failed"]["actor_type"] == "service"
    nobody = status_of(decide(asked(), seen(Busy(BUSY.holder, "9f9f", NOW, 1)), NOW, policy=POLICY)).cancellation
    assert nobody is not None
    assert nobody.by == "unverified:alice"


def test_both_engines_are_cancelled() -> None:
    recorded = asked(running(cancellation=RECORDED), spec=spec(engine=Engine.JOB))
    assert decided(recorded, seen(MINE, run=run(engine=Engine.JOB))) == (CancelRun("run-1", UNBEGUN),)
