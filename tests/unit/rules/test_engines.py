"""An engine that is not there is waited for; and how far a run of several tasks has come."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from models.actions import Action, CreateRun, LeaveLine, PatchStatus, ReleaseTarget, WakeAt
from models.decide import decide
from models.hold import Free, GateClosed
from models.status import Phase, RunStatus, Status, WaitReason
from tests.unit.rules.builders import (
    BUSY,
    MINE,
    NOW,
    POLICY,
    events_of,
    execution,
    run,
    running,
    seen,
    status_of,
)

LOOK = WakeAt(NOW + timedelta(seconds=30))


@pytest.mark.parametrize(
    ("hold", "freed"),
    [(MINE, (ReleaseTarget(7, clean=False),)), (BUSY, (LeaveLine(),)), (Free(), (LeaveLine(),)), (GateClosed(), ())],
)
def test_before_its_start_it_waits_without_target_and_without_a_place(hold: Any, freed: tuple[Action, ...]) -> None:
    absent = seen(hold, engine_available=False)
    actions = decide(execution(), absent, NOW, policy=POLICY)
    status = status_of(actions)
    assert (status.phase, status.reason, status.failures) == (Phase.PENDING, WaitReason.ENGINE_UNAVAILABLE, 0)
    assert events_of(actions) == []
    assert actions[-1 - len(freed) :] == (LOOK, *freed)
    assert decide(execution(status), absent, NOW, policy=POLICY) == (LOOK, *freed), "written once"


def test_it_leaves_its_place_in_the_status_too() -> None:
    stood = status_of(decide(execution(), seen(BUSY), NOW, policy=POLICY))
    left = status_of(decide(execution(stood), seen(BUSY, engine_available=False), NOW, policy=POLICY))
    assert left.queue is not None
    assert (left.queue.position, left.queue.holder) == (0, "")


def test_between_attempts_it_keeps_its_target() -> None:
    waiting = execution(running(failures=1, next_allowed=NOW - timedelta(seconds=1)))
    actions = decide(waiting, seen(MINE, engine_available=False), NOW, policy=POLICY)
    assert (status_of(actions).phase, status_of(actions).reason) == (Phase.RUNNING, WaitReason.ENGINE_UNAVAILABLE)
    assert not any(isinstance(action, ReleaseTarget | CreateRun) for action in actions)


def test_when_it_has_come_the_execution_goes_on() -> None:
    waited = Status(attempt=1, reason=WaitReason.ENGINE_UNAVAILABLE)
    assert decide(execution(waited), seen(MINE), NOW, policy=POLICY) == (CreateRun(1, 7),)


def counted(done: int, **changes: Any) -> Any:
    message = f"Tasks Completed: {done} (Failed: 0, Cancelled 0), Incomplete: 1, Skipped: 0"
    return seen(MINE, run=run(message=message, **changes))


def test_each_finished_task_of_several_is_written_once() -> None:
    known = running(run_status=RunStatus("Unknown", total_tasks=0))
    status = status_of(decide(execution(known), counted(1, total_tasks=3), NOW, policy=POLICY))
    assert status.run_status is not None
    assert (status.run_status.completed_tasks, status.run_status.total_tasks) == (1, 3)
    again = decide(execution(status), counted(1, total_tasks=3), NOW, policy=POLICY)
    assert not any(isinstance(action, PatchStatus) for action in again)
    assert status_of(decide(execution(status), counted(2, total_tasks=3), NOW, policy=POLICY)).phase is Phase.RUNNING


def test_a_single_task_costs_no_write_of_its_own() -> None:
    assert decide(execution(running()), counted(1, total_tasks=1), NOW, policy=POLICY) == ()
