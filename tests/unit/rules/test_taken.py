"""CONTRACT 3, the taken target: a row of the table for each thing that can stand in the way and each policy."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from models.actions import Action, EventReason, LeaveLine, PatchStatus, TakeTarget, WakeAt
from models.decide import decide
from models.execution import ConcurrencyPolicy, Execution
from models.hold import Busy, Free, GateClosed
from models.observed import Observed
from models.rules.cooldown import rest_until
from models.status import (
    Clearance,
    ClearMethod,
    ConditionType,
    FactType,
    FailureDetails,
    FailureReason,
    Phase,
    Request,
    SkipReason,
    Status,
    WaitReason,
)
from models.target import run_name
from tests.unit.rules.builders import (
    BUSY,
    MINE,
    NOW,
    POLICY,
    TARGET,
    ended,
    events_of,
    execution,
    run,
    running,
    seen,
    spec,
    status_of,
)

WAIT, SKIP, FAIL = ConcurrencyPolicy.WAIT, ConcurrencyPolicy.SKIP, ConcurrencyPolicy.FAIL
OUTSIDE = replace(BUSY, position=0)
MID_RUN = FailureDetails(
    reason=FailureReason.TASK_FAILED, message="exit code 3", failed_at=NOW, summary="step act failed", started=True
)
BEFORE = replace(MID_RUN, started=False)
CLEARED = Clearance(at=NOW, by="ann", reason="looked", method=ClearMethod.ANNOTATION)
UNLOCKED = Request(at=NOW, by="ann", reason="looked")
LONG_AGO = NOW - timedelta(hours=1)

RUNNING = running()
BACKING_OFF = Status(attempt=1, failures=1, next_allowed=NOW + timedelta(seconds=20), fence=6)
RESTING = ended()
EXHAUSTED = ended(Phase.FAILED, failures=5, attempt=5, failure=BEFORE)
BLOCKING = ended(Phase.FAILED, failure=MID_RUN)
BLOCKING_FOR_AN_HOUR = replace(BLOCKING, completed_at=LONG_AGO)
RESTED = ended(completed_at=LONG_AGO)
UNLOCKED_BLOCK = replace(BLOCKING, unlock=UNLOCKED)
CLEARED_LATE = replace(BLOCKING_FOR_AN_HOUR, clearance=CLEARED)


def stanced(policy: ConcurrencyPolicy | None, status: Status | None = None) -> Execution:
    return execution(status, spec=spec(concurrency=policy))


def held_by(status: Status, hold: Busy = OUTSIDE, **changes: Any) -> Observed:
    workflow = spec(workflow_id="patch")
    return seen(hold, holder=execution(status, uid=BUSY.holder_uid, key=BUSY.holder, spec=workflow, **changes))


def answer(policy: ConcurrencyPolicy, observed: Observed) -> tuple[Action, ...]:
    return decide(stanced(policy), observed, NOW, policy=POLICY)


OBSTACLES = [
    ("running", RUNNING, SkipReason.RESOURCE_BUSY),
    ("waits for its next attempt", BACKING_OFF, SkipReason.RESOURCE_BUSY),
    ("about to create its run", Status(), SkipReason.RESOURCE_BUSY),
    ("resting", RESTING, SkipReason.RECENTLY_REMEDIATED),
    ("resting after a failure", ended(Phase.FAILED, failure=BEFORE), SkipReason.RECENTLY_REMEDIATED),
    ("resting after its last attempt", EXHAUSTED, SkipReason.EXHAUSTED_RETRIES),
    ("blocking", BLOCKING, SkipReason.PREVIOUS_FAILED),
    ("blocking past its cooldown", BLOCKING_FOR_AN_HOUR, SkipReason.PREVIOUS_FAILED),
    ("cleared and resting", replace(BLOCKING, clearance=CLEARED), SkipReason.RECENTLY_REMEDIATED),
]
FREEING = [RESTED, UNLOCKED_BLOCK, CLEARED_LATE]


@pytest.mark.parametrize(("holder", "reason"), [row[1:] for row in OBSTACLES], ids=[row[0] for row in OBSTACLES])
def test_skip_is_skipped_with_the_reason_and_without_standing_in_line(holder: Status, reason: SkipReason) -> None:
    actions = answer(SKIP, held_by(holder))
    status = status_of(actions)
    assert (status.phase, status.reason) == (Phase.SKIPPED, reason)
    assert status.skip is not None
    assert (status.skip.reason, status.skip.holder, status.skip.workflow_id) == (reason, BUSY.holder.name, "patch")
    assert (status.skip.target, status.skip.skipped_at, status.completed_at) == (TARGET, NOW, NOW)
    assert [fact.type for fact in status.pending_facts] == [FactType.SKIPPED]
    assert events_of(actions) == [EventReason.SKIPPED]
    assert rest_until(status, POLICY) is None
    assert not any(isinstance(action, TakeTarget | LeaveLine) for action in actions)
    running_one = reason is SkipReason.RESOURCE_BUSY
    assert (status.skip.started_at is not None, status.skip.ended_at is not None) == (running_one, not running_one)


def test_skip_of_a_resting_target_tells_how_it_ended_and_what_is_left() -> None:
    skip = status_of(answer(SKIP, held_by(RESTING))).skip
    assert skip is not None
    assert (skip.outcome, skip.cooldown_remaining, skip.ended_at) == ("Completed", "4m56s", RESTING.completed_at)
    blocked = status_of(answer(SKIP, held_by(BLOCKING_FOR_AN_HOUR))).skip
    assert blocked is not None
    assert (blocked.outcome, blocked.cooldown_remaining) == ("Failed", "")


def test_skip_that_lost_the_race_for_the_hold_leaves_the_line() -> None:
    assert LeaveLine() in answer(SKIP, held_by(RUNNING, BUSY))


@pytest.mark.parametrize("holder", FREEING)
@pytest.mark.parametrize("policy", [WAIT, SKIP, FAIL])
def test_everybody_waits_for_a_target_that_is_just_being_freed(policy: ConcurrencyPolicy, holder: Status) -> None:
    assert answer(policy, held_by(holder)) == (TakeTarget(),)
    assert status_of(answer(policy, held_by(holder, BUSY))).reason == WaitReason.TARGET_BUSY


@pytest.mark.parametrize("policy", [WAIT, SKIP, FAIL])
def test_deleting_the_holder_ends_its_cooldown_and_its_block(policy: ConcurrencyPolicy) -> None:
    for holder in (RESTING, BLOCKING):
        assert answer(policy, held_by(holder, deleted_at=NOW)) == (TakeTarget(),)


@pytest.mark.parametrize("holder", [RUNNING, BACKING_OFF, Status()])
def test_fail_loses_against_who_has_not_ended(holder: Status) -> None:
    actions = answer(FAIL, held_by(holder))
    status = status_of(actions)
    assert status.phase is Phase.FAILED
    assert status.failure is not None
    assert (status.failure.reason, status.failure.started) == (FailureReason.UNKNOWN, False)
    for words in ("Race condition", "PipelineRun", run_name(TARGET), "already exists", str(BUSY.holder)):
        assert words in status.failure.message
    assert rest_until(status, POLICY) is None
    assert not any(isinstance(action, TakeTarget) for action in actions)


@pytest.mark.parametrize("policy", [WAIT, FAIL])
@pytest.mark.parametrize(
    ("holder", "reason"),
    [
        (RESTING, WaitReason.RECENTLY_REMEDIATED),
        (EXHAUSTED, WaitReason.RECENTLY_REMEDIATED),
        (BLOCKING, WaitReason.PREVIOUS_FAILED),
        (BLOCKING_FOR_AN_HOUR, WaitReason.PREVIOUS_FAILED),
    ],
)
def test_wait_and_fail_wait_for_a_cooldown_and_behind_a_block(
    policy: ConcurrencyPolicy, holder: Status, reason: WaitReason
) -> None:
    assert answer(policy, held_by(holder)) == (TakeTarget(),)
    status = status_of(answer(policy, held_by(holder, BUSY)))
    locked = status.condition(ConditionType.LOCKED)
    assert locked is not None
    assert (status.phase, status.reason, locked.status, locked.reason) == (Phase.PENDING, reason, True, reason)


def test_policy_of_the_spec_goes_before_the_configured_one() -> None:
    configured = replace(POLICY, concurrency=SKIP)
    observed = held_by(RUNNING)
    assert status_of(decide(stanced(None), observed, NOW, policy=configured)).phase is Phase.SKIPPED
    assert decide(stanced(WAIT), observed, NOW, policy=configured) == (TakeTarget(),)


@pytest.mark.parametrize("policy", [SKIP, FAIL])
def test_holder_nobody_could_name_is_looked_at_again(policy: ConcurrencyPolicy) -> None:
    [action] = answer(policy, seen(OUTSIDE))
    assert isinstance(action, WakeAt)


@pytest.mark.parametrize("policy", [SKIP, FAIL])
def test_loser_of_a_later_attempt_opens_no_cooldown_for_a_run_that_never_was(policy: ConcurrencyPolicy) -> None:
    tried = stanced(policy, BACKING_OFF)
    status = status_of(decide(tried, held_by(RUNNING), NOW, policy=POLICY))
    assert status.phase.terminal
    assert (status.failures, status.attempt) == (1, 2)
    assert rest_until(status, POLICY) is None


@pytest.mark.parametrize("policy", [WAIT, SKIP, FAIL])
@pytest.mark.parametrize("hold", [Free(), MINE, GateClosed()])
def test_policy_is_asked_of_a_taken_target_only(policy: ConcurrencyPolicy, hold: Any) -> None:
    actions = answer(policy, seen(hold))
    assert not any(isinstance(action, PatchStatus) for action in actions)


@pytest.mark.parametrize("policy", [WAIT, SKIP, FAIL])
def test_skip_ends_and_stays(policy: ConcurrencyPolicy) -> None:
    skipped = status_of(answer(SKIP, held_by(RUNNING)))
    for observed in (held_by(RUNNING), seen(Free()), seen(MINE, run=run())):
        for action in decide(stanced(policy, skipped), observed, NOW, policy=POLICY):
            assert not isinstance(action, PatchStatus) or action.status.phase is Phase.SKIPPED


def line_of(status: Status) -> str:
    condition = status.condition(ConditionType.LOCKED)
    assert condition is not None
    return condition.message


def seen_by(waiter: Status, holder: Status, place: int = 1, at: datetime = NOW) -> tuple[Action, ...]:
    return decide(execution(waiter), held_by(holder, replace(BUSY, position=place)), at, policy=POLICY)


def test_who_waits_is_told_each_new_reason_once() -> None:
    waiter = replace(status_of(seen_by(Status(), RUNNING)), pending_facts=())
    reasons = [waiter.reason]
    for holder in (RESTING, BLOCKING, replace(BLOCKING, clearance=CLEARED)):
        waiter = status_of(seen_by(waiter, holder))
        reasons.append(waiter.reason)
        assert not [fact for fact in waiter.pending_facts if fact.type is FactType.QUEUED]
        assert not any(isinstance(action, PatchStatus) for action in seen_by(waiter, holder))
    assert reasons == [
        WaitReason.TARGET_BUSY,
        WaitReason.RECENTLY_REMEDIATED,
        WaitReason.PREVIOUS_FAILED,
        WaitReason.RECENTLY_REMEDIATED,
    ]


def test_block_is_told_to_the_whole_line_with_the_commands_that_clear_it() -> None:
    third = status_of(seen_by(Status(), RUNNING, place=3))
    told = status_of(seen_by(third, BLOCKING, place=3))
    name = f"{BUSY.holder.name} -n {BUSY.holder.namespace}"
    assert f'wfe clear {name} --reason "..."' in line_of(told)
    assert f'kubectl annotate wfe {name} kubernaut.ai/clear-execution-block="..."' in line_of(told)
    free_again = status_of(seen_by(told, replace(BLOCKING, clearance=CLEARED), place=3))
    assert free_again.reason == WaitReason.RECENTLY_REMEDIATED
    assert not any(isinstance(action, PatchStatus) for action in seen_by(third, RESTING, place=3))


def test_block_that_the_configuration_switched_off_is_a_cooldown() -> None:
    lenient = replace(POLICY, block_after_failure=False)
    status = status_of(decide(execution(), held_by(BLOCKING, BUSY), NOW, policy=lenient))
    assert status.reason == WaitReason.RECENTLY_REMEDIATED
