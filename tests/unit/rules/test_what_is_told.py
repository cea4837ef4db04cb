"""What a status says at each wait, attempt and end: nothing stale, nothing that is not so."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from models.actions import Action, PatchStatus, TakeTarget
from models.decide import decide
from models.execution import ConcurrencyPolicy, Engine
from models.failure import refusal
from models.observed import Observed
from models.rules.cooldown import exhausted, rest_until
from models.run import Run
from models.status import ConditionType, FailureReason, Phase, QueuePlace, Request, Status, WaitReason
from models.status_document import status_patch
from tests.unit.rules.builders import (
    BUSY,
    MINE,
    NOW,
    POLICY,
    ended,
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

LATE = Request(at=NOW - POLICY.cancel_timeout, by="alice", reason="wrong cluster")
QUOTA = refusal("Forbidden", "pods is forbidden: exceeded quota: none")
ONE_TRY = replace(POLICY, max_failures=1)
AT_ONCE = replace(POLICY, cooldown=timedelta())
JUST_ENDED = execution(ended(completed_at=NOW + timedelta(seconds=0.4)), uid="9f9f")


def pass_of(status: Status, observed: Observed) -> tuple[Action, ...]:
    return decide(execution(status), observed, NOW, policy=POLICY)


def conditions(status: Status) -> dict[str, tuple[bool | None, str]]:
    return {each.type: (each.status, each.reason) for each in status.conditions if each.type != ConditionType.AUDIT}


def in_line() -> Status:
    waits = status_of(pass_of(Status(), seen(BUSY, holder=execution(running(), uid="9f9f"))))
    assert waits.reason == WaitReason.TARGET_BUSY
    return replace(waits, pending_facts=())


@pytest.mark.parametrize(
    ("deleted", "began"),
    [
        (run(started_at=None), False),
        (run(total_tasks=1), True),
        (run(engine=Engine.JOB), True),
        (None, True),
    ],
)
def test_cancelled_while_tekton_was_silent_no_task_had_begun(deleted: Run | None, began: bool) -> None:
    status = status_of(pass_of(running(cancellation=LATE), seen(MINE, deleted_run=deleted)))
    assert status.failure is not None
    assert status.failure.started is began


@pytest.mark.parametrize(
    ("ending", "began"),
    [
        ({"reason": "ImagePullBackOff", "message": "no such image"}, False),
        ({"reason": "DeadlineExceeded", "started_at": None}, False),
        ({"reason": "DeadlineExceeded"}, True),
    ],
)
def test_a_job_that_could_never_start_had_not_begun_when_it_was_cancelled(ending: dict[str, str], began: bool) -> None:
    job = replace(failed(), **{"engine": Engine.JOB, **ending})  # type: ignore[arg-type]
    what = execution(running(cancellation=LATE), spec=spec(engine=Engine.JOB))
    status = status_of(decide(what, seen(MINE, run=job), NOW, policy=POLICY))
    assert status.failure is not None
    assert status.failure.started is began


def test_no_cooldown_is_none_of_a_part_of_a_second_either() -> None:
    assert rest_until(JUST_ENDED.status, AT_ONCE) is None
    late = execution(spec=spec(concurrency=ConcurrencyPolicy.SKIP))
    free_soon = seen(replace(BUSY, position=0), holder=JUST_ENDED)
    assert decide(late, free_soon, NOW, policy=AT_ONCE) == (TakeTarget(),)


def test_the_only_attempt_that_tekton_refused_did_not_start() -> None:
    refused = seen(MINE, run=failed("CouldntGetPipeline", message="no such bundle"))
    status = status_of(decide(execution(running()), refused, NOW, policy=ONE_TRY))
    assert status.phase is Phase.FAILED
    told = conditions(status)
    assert told["TektonPipelineRunning"] == (False, "PipelineFailedToStart")
    assert told["TektonPipelineComplete"] == (False, "PipelineFailed")
    complete = status.condition(ConditionType.COMPLETE)
    assert complete is not None
    assert "no such bundle" in complete.message


def test_the_last_attempt_says_that_its_run_was_not_created() -> None:
    before = running(attempt=4, failures=4, next_allowed=NOW, reason="BackingOff")
    status = status_of(pass_of(before, seen(MINE, refusal=QUOTA)))
    assert (status.phase, status.failures) == (Phase.FAILED, 5)
    assert conditions(status)["TektonPipelineCreated"] == (False, "QuotaExceeded")


def test_who_never_had_a_run_keeps_the_fence_and_the_word_of_the_refusal() -> None:
    status = status_of(decide(execution(), seen(MINE, refusal=QUOTA), NOW, policy=ONE_TRY))
    assert (status.fence, status.attempt, status.failures) == (MINE.fence, 1, 1)
    assert conditions(status) == {"TektonPipelineCreated": (False, "QuotaExceeded")}


def test_after_the_line_it_says_what_it_waits_for_with_its_target() -> None:
    before = in_line()
    status = status_of(pass_of(before, seen(MINE, remains=2)))
    locked = status.condition(ConditionType.LOCKED)
    assert locked is not None
    assert "still being removed" in locked.message
    assert status.queue is not None
    assert (status.queue.position, status.queue.holder) == (0, "")
    settled = replace(status, pending_facts=())
    assert not any(isinstance(action, PatchStatus) for action in pass_of(settled, seen(MINE, remains=1)))


def test_an_engine_that_has_come_is_not_missing_any_more() -> None:
    missing = status_of(pass_of(Status(), seen(MINE, engine_available=False)))
    assert conditions(missing) == {"TektonPipelineCreated": (False, "PipelineCreationFailed")}
    busy = seen(BUSY, holder=execution(running(), uid="9f9f"))
    for observed in (busy, seen(MINE, remains=1)):
        assert set(conditions(status_of(pass_of(missing, observed)))) == {"ResourceLocked"}


def test_a_refused_run_is_told_while_the_next_attempt_is_waited_for() -> None:
    waiting = replace(in_line(), phase=Phase.RUNNING, run_name=running().run_name, fence=7)
    status = status_of(pass_of(waiting, seen(MINE, run=failed("CouldntGetPipeline"))))
    assert status.run_status is not None
    assert (status.run_status.status, status.run_status.reason) == ("False", "CouldntGetPipeline")
    assert status.queue is None
    assert status.condition(ConditionType.LOCKED) is None


def test_a_refused_creation_leaves_no_line_behind() -> None:
    status = status_of(pass_of(in_line(), seen(MINE, refusal=QUOTA)))
    assert status.reason == WaitReason.BACKING_OFF
    assert status.queue is None
    assert set(conditions(status)) == {"TektonPipelineCreated"}


def test_the_next_attempt_has_no_instant_to_wait_for() -> None:
    before = running(failures=1, next_allowed=NOW - timedelta(seconds=1), reason="BackingOff")
    started = status_of(pass_of(before, seen(MINE, run=run(attempt=2))))
    assert (started.attempt, started.next_allowed, started.failures) == (2, None, 1)
    over = status_of(pass_of(replace(started, next_allowed=NOW), seen(MINE, run=replace(succeeded(), labels={}))))
    assert (over.phase, over.failures, over.next_allowed) == (Phase.COMPLETED, 0, None)


def test_a_failure_half_way_forgets_the_instant_and_says_why_twice() -> None:
    before = running(attempt=2, failures=1, next_allowed=NOW - timedelta(seconds=9))
    status = status_of(pass_of(before, seen(MINE, run=failed(total_tasks=2), task_runs=(failed_task(),))))
    assert (status.phase, status.next_allowed) == (Phase.FAILED, None)
    assert status_patch(before, status)["failureReason"] == status.reason == FailureReason.TASK_FAILED
    complete = status.condition(ConditionType.COMPLETE)
    assert status.failure is not None
    assert complete is not None
    assert complete.message == status.failure.message != ""
    assert status_patch(before, status)["pipelineRunStatus"]["totalTasks"] == 2


def test_a_run_that_was_deleted_externally_says_how_long_it_was() -> None:
    status = status_of(pass_of(running(), seen(MINE)))
    assert status.failure is not None
    assert (status.failure.run_time, "deleted externally" in status.failure.message) == ("10s", True)


def test_a_run_that_somebody_stopped_is_not_tried_again() -> None:
    status = status_of(pass_of(running(), seen(MINE, run=failed("Cancelled", started_at=None))))
    assert (status.phase, status.failures) == (Phase.FAILED, 0)


def test_attempts_count_from_one_in_line_too() -> None:
    assert in_line().attempt == 1


def test_a_blocked_line_tells_everybody_his_place() -> None:
    blocking = execution(ended(Phase.FAILED, failure=_acted()), uid="9f9f")
    status = status_of(pass_of(Status(), seen(replace(BUSY, position=3), holder=blocking)))
    locked = status.condition(ConditionType.LOCKED)
    assert locked is not None
    assert locked.message.startswith("position 3, blocked by ")
    assert status.queue == QueuePlace(3, str(BUSY.holder), BUSY.since)


def test_a_transition_is_one_of_the_status_alone() -> None:
    early = NOW - timedelta(seconds=60)
    status = Status().with_condition(ConditionType.CREATED, False, "QuotaExceeded", "full", early)
    again = status.with_condition(ConditionType.CREATED, False, "RBACDenied", "no right", NOW)
    over = again.with_condition(ConditionType.CREATED, True, "PipelineCreated", "made", NOW)
    assert [each.conditions[0].since for each in (status, again, over)] == [early, early, NOW]


def test_a_cancelled_one_did_not_use_its_attempts_up() -> None:
    spent = ended(Phase.FAILED, attempt=5, failures=5)
    assert exhausted(spent, POLICY)
    assert not exhausted(replace(spent, cancellation=LATE), POLICY)


def _acted() -> object:
    status = status_of(pass_of(running(), seen(MINE, run=failed(), task_runs=(failed_task(),))))
    assert status.failure is not None
    return status.failure


@pytest.mark.parametrize(
    ("reason", "message", "word"),
    [
        ("Forbidden", "pods is forbidden: exceeded quota: none", "QuotaExceeded"),
        ("Forbidden", "user cannot create resource pipelineruns", "RBACDenied"),
        (
            "BadRequest",
            'admission webhook "signatures" denied the request: could not resolve image x:v1',
            "ImagePullFailed",
        ),
        ("InternalError", "the webhook is down", "PipelineCreationFailed"),
    ],
)
def test_a_refusal_names_its_kind_and_the_run(reason: str, message: str, word: str) -> None:
    refused = seen(MINE, refusal=refusal(reason, message))
    for policy in (POLICY, ONE_TRY):
        status = status_of(decide(execution(), refused, NOW, policy=policy))
        created = status.condition(ConditionType.CREATED)
        assert created is not None
        assert created.reason == word
        assert f"PipelineRun {running().run_name} in kubernaut-workflows" in created.message
        assert message in created.message
