"""The rule book, a sentence of the contract a test: values in, actions out, no fakes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from models.actions import (
    AddFinalizer,
    BufferFacts,
    CreateRun,
    DeleteRun,
    EmitEvent,
    EventReason,
    LeaveLine,
    PatchStatus,
    ReleaseTarget,
    RemoveFinalizer,
    TakeTarget,
    WakeAt,
    WakeLine,
    YieldTarget,
)
from models.audit import event_id
from models.decide import decide
from models.execution import Engine
from models.failure import refusal
from models.hold import Busy, Free, GateClosed, HoldView
from models.instants import format_instant
from models.run import Run
from models.status import ConditionType, Fact, FactType, FailureReason, Phase, RunStatus, Status, WaitReason
from models.target import run_name
from tests.unit.rules.builders import (
    BUSY,
    MINE,
    NOW,
    POLICY,
    TARGET,
    UID,
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

QUOTA = refusal("Forbidden", 'pipelineruns "x" is forbidden: exceeded quota: runs, used: count=1')


def test_new_execution_is_guarded_before_anything_else() -> None:
    assert decide(execution(finalizers=()), seen(), NOW, policy=POLICY) == (AddFinalizer(),)


def test_free_target_is_taken() -> None:
    assert decide(execution(), seen(Free()), NOW, policy=POLICY) == (TakeTarget(),)


def test_held_target_gets_its_run() -> None:
    assert decide(execution(), seen(MINE), NOW, policy=POLICY) == (CreateRun(attempt=1, fence=7),)


def test_created_run_makes_it_running() -> None:
    actions = decide(execution(), seen(MINE, run=run()), NOW, policy=POLICY)
    status = status_of(actions)
    assert (status.phase, status.attempt, status.run_name, status.fence) == (Phase.RUNNING, 1, run_name(TARGET), 7)
    assert status.started_at == NOW
    created = status.condition(ConditionType.CREATED)
    assert created is not None
    assert created.status is True
    assert run_name(TARGET) in created.message
    assert "kubernaut-workflows" in created.message
    assert [fact.type for fact in status.pending_facts] == [FactType.STARTED]
    audit = status.condition(ConditionType.AUDIT)
    assert audit is not None
    assert (audit.status, audit.reason) == (False, "AuditPending")
    assert events_of(actions) == [EventReason.RUN_CREATED]
    assert WakeLine() in actions


def test_start_records_what_the_run_says_of_itself() -> None:
    assert status_of(decide(execution(), seen(MINE, run=run()), NOW, policy=POLICY)).run_status == RunStatus("Unknown")
    going = run(reason="Running", message="Tasks Completed: 1 (Failed: 0, Cancelled 0), Skipped: 0", total_tasks=3)
    status = status_of(decide(execution(), seen(MINE, run=going), NOW, policy=POLICY))
    assert status.run_status == RunStatus("Unknown", "Running", going.message, completed_tasks=1, total_tasks=3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image": " "}, "containerImage"),
        ({"target": ""}, "targetResource is empty"),
        ({"target": "onlyone"}, "1 part"),
        ({"target": "a/b/c/d"}, "4 part"),
        ({"target": "a//c"}, "empty part"),
        ({"parameters": {"TARGET_RESOURCE": "x"}}, "TARGET_RESOURCE"),
        ({"timeout": "soon"}, "timeout"),
        ({"timeout": "0s"}, "above zero"),
        ({"digest": "sha256:short"}, "containerDigest"),
        ({"image": "", "target": ""}, "containerImage"),
    ],
)
def test_invalid_spec_fails_at_once_and_for_good(changes: dict[str, object], words: str) -> None:
    actions = decide(execution(spec=spec(**changes)), seen(), NOW, policy=POLICY)
    status = status_of(actions)
    assert status.phase is Phase.FAILED
    assert status.failure is not None
    assert status.failure.reason is FailureReason.CONFIGURATION_ERROR
    assert status.failure.started is False
    assert words in status.failure.message
    assert status.fence is None
    assert not any(isinstance(action, TakeTarget | CreateRun) for action in actions)


def test_engine_that_is_not_there_is_waited_for_without_taking_the_target() -> None:
    asked = execution(spec=spec(engine=Engine.JOB))
    absent = seen(engine_available=False)
    status = status_of(decide(asked, absent, NOW, policy=POLICY))
    assert (status.phase, status.reason) == (Phase.PENDING, WaitReason.ENGINE_UNAVAILABLE)
    again = decide(execution(status, spec=spec(engine=Engine.JOB)), absent, NOW, policy=POLICY)
    assert again == (WakeAt(NOW + timedelta(seconds=30)), LeaveLine())


def test_busy_target_makes_it_wait_visibly() -> None:
    actions = decide(execution(), seen(BUSY), NOW, policy=POLICY)
    status = status_of(actions)
    assert (status.phase, status.reason) == (Phase.PENDING, WaitReason.TARGET_BUSY)
    assert status.queue is not None
    assert (status.queue.position, status.queue.holder) == (1, "default/restart")
    locked = status.condition(ConditionType.LOCKED)
    assert locked is not None
    assert locked.message.startswith("position 1, held by default/restart since ")
    assert events_of(actions) == [EventReason.QUEUED]
    assert [fact.type for fact in status.pending_facts] == [FactType.QUEUED]


def test_waiting_for_nothing_new_writes_nothing() -> None:
    waiting = replace(status_of(decide(execution(), seen(BUSY), NOW, policy=POLICY)), pending_facts=())
    waiting = waiting.with_condition(
        ConditionType.AUDIT, True, "AuditSucceeded", "DataStorage acknowledged every event so far", NOW
    )
    assert decide(execution(waiting), seen(BUSY), NOW, policy=POLICY) == ()


def test_head_of_line_hears_that_the_holder_ended() -> None:
    waiting = status_of(decide(execution(), seen(BUSY), NOW, policy=POLICY))
    holder = execution(ended(completed_at=NOW), uid=BUSY.holder_uid, key=BUSY.holder)
    status = status_of(decide(execution(waiting), seen(BUSY, holder=holder), NOW, policy=POLICY))
    assert status.reason == WaitReason.RECENTLY_REMEDIATED
    locked = status.condition(ConditionType.LOCKED)
    assert locked is not None
    assert "2026-05-04T12:05:00Z" in locked.message


def test_not_in_line_yet_joins_it() -> None:
    outside = replace(BUSY, position=0)
    assert decide(execution(), seen(outside), NOW, policy=POLICY) == (TakeTarget(),)


def test_start_leaves_no_trace_of_waiting() -> None:
    waiting = status_of(decide(execution(), seen(BUSY), NOW, policy=POLICY))
    status = status_of(decide(execution(waiting), seen(MINE, run=run()), NOW, policy=POLICY))
    assert status.queue is None
    assert status.condition(ConditionType.LOCKED) is None
    assert status.reason == ""


@pytest.mark.parametrize("phase_status", [Status(), running(attempt=1, failures=1, next_allowed=NOW)])
def test_closed_gate_lets_nothing_be_taken(phase_status: Status) -> None:
    actions = decide(execution(phase_status), seen(GateClosed()), NOW, policy=POLICY)
    assert not any(isinstance(action, TakeTarget | CreateRun | ReleaseTarget) for action in actions)
    assert any(isinstance(action, WakeAt) for action in actions)


def test_our_run_is_adopted_after_a_crash() -> None:
    status = status_of(decide(execution(), seen(MINE, run=run(succeeded=None)), NOW, policy=POLICY))
    assert (status.phase, status.attempt) == (Phase.RUNNING, 1)


@pytest.mark.parametrize("found", [succeeded(), failed()])
def test_an_adopted_run_that_has_ended_meanwhile_is_looked_at_again_at_once(found: Run) -> None:
    """The event of its end came to the pass that adopts it: nobody will tell of it a second time."""
    assert WakeAt(NOW) in decide(execution(), seen(MINE, run=found), NOW, policy=POLICY)


def test_an_adopted_run_that_goes_on_costs_no_further_look() -> None:
    acted = decide(execution(), seen(MINE, run=run()), NOW, policy=POLICY)
    assert not [action for action in acted if isinstance(action, WakeAt)]


def test_run_of_a_living_execution_means_busy() -> None:
    other = seen(MINE, run=run(owner="other"), run_owner_lives=True)
    assert decide(execution(), other, NOW, policy=POLICY) == (YieldTarget(7),)


def test_orphan_is_left_to_end_and_cool_down_then_deleted() -> None:
    orphan = run(owner="gone")
    waiting = decide(execution(), seen(MINE, run=orphan), NOW, policy=POLICY)
    assert status_of(waiting).phase is Phase.PENDING
    over = replace(orphan, succeeded=True, ended_at=NOW)
    cooling = decide(execution(), seen(MINE, run=over), NOW, policy=POLICY)
    assert WakeAt(NOW + POLICY.cooldown) in cooling
    assert not any(isinstance(action, DeleteRun) for action in cooling)
    later = NOW + POLICY.cooldown
    assert decide(execution(), seen(MINE, run=over), later, policy=POLICY) == (DeleteRun("run-1"),)


def test_foreign_run_is_never_touched() -> None:
    actions = decide(execution(), seen(MINE, run=run(owner="")), NOW, policy=POLICY)
    status = status_of(actions)
    assert status.failure is not None
    for words in ("Race condition", "PipelineRun", run_name(TARGET), "already exists"):
        assert words in status.failure.message
    assert not any(isinstance(action, DeleteRun) for action in actions)


def test_a_foreign_job_is_told_in_the_same_words() -> None:
    actions = decide(execution(), seen(MINE, run=run(owner="", engine=Engine.JOB)), NOW, policy=POLICY)
    failure = status_of(actions).failure
    assert failure is not None
    for words in ("Race condition", "PipelineRun", run_name(TARGET), "already exists", "as a Job"):
        assert words in failure.message


def test_a_run_with_the_annotations_of_an_execution_of_another_target_is_foreign() -> None:
    """Its hold would go to somebody who never frees it, and be freed with a run of his that is none."""
    copied = seen(MINE, run=run(owner="other"), run_owner_lives=True, run_owner_elsewhere=True)
    actions = decide(execution(), copied, NOW, policy=POLICY)
    failure = status_of(actions).failure
    assert failure is not None
    assert "already exists" in failure.message
    assert not any(isinstance(action, DeleteRun | YieldTarget) for action in actions)


def test_refused_creation_is_retried_and_keeps_the_hold() -> None:
    actions = decide(execution(), seen(MINE, refusal=QUOTA), NOW, policy=POLICY)
    status = status_of(actions)
    assert (status.phase, status.reason) == (Phase.PENDING, WaitReason.BACKING_OFF)
    assert (status.attempt, status.failures, status.fence) == (1, 1, 7)
    assert status.next_allowed == NOW + timedelta(seconds=30)
    created = status.condition(ConditionType.CREATED)
    assert created is not None
    assert (created.status, created.reason) == (False, "QuotaExceeded")
    assert events_of(actions) == [EventReason.RETRY_SCHEDULED]
    assert [fact.type for fact in status.pending_facts] == [FactType.RETRYING]
    assert not any(isinstance(action, ReleaseTarget) for action in actions)


def test_no_creation_before_the_next_instant() -> None:
    backing_off = Status(attempt=1, failures=1, next_allowed=NOW + timedelta(seconds=1), fence=7)
    early = decide(execution(backing_off), seen(MINE), NOW, policy=POLICY)
    assert WakeAt(NOW + timedelta(seconds=1)) in early
    assert not any(isinstance(action, CreateRun) for action in early)
    due = decide(execution(backing_off), seen(MINE), NOW + timedelta(seconds=1), policy=POLICY)
    assert due == (CreateRun(attempt=2, fence=7),)


def test_backoff_doubles_up_to_the_cap() -> None:
    waits = []
    status = Status()
    for _ in range(7):
        policy = replace(POLICY, max_failures=50)
        status = status_of(decide(execution(status), seen(MINE, refusal=QUOTA), NOW, policy=policy))
        assert status.next_allowed is not None
        waits.append((status.next_allowed - NOW).total_seconds())
        status = replace(status, next_allowed=NOW)
    assert waits == [30, 60, 120, 240, 480, 900, 900]


@pytest.mark.parametrize("jitter", [-1.0, 1.0])
def test_jitter_never_crosses_the_cap(jitter: float) -> None:
    status = Status(attempt=9, failures=9, next_allowed=NOW, fence=7)
    policy = replace(POLICY, max_failures=50)
    actions = decide(execution(status), seen(MINE, refusal=QUOTA), NOW, policy=policy, jitter=jitter)
    due = status_of(actions).next_allowed
    assert due is not None
    assert due - NOW == (timedelta(minutes=15) if jitter > 0 else timedelta(minutes=13.5))


def test_last_attempt_exhausts_the_retries() -> None:
    status = Status(attempt=4, failures=4, next_allowed=NOW, fence=7)
    actions = decide(execution(status), seen(MINE, refusal=QUOTA), NOW, policy=POLICY)
    new = status_of(actions)
    assert (new.phase, new.attempt, new.failures) == (Phase.FAILED, 5, 5)
    assert new.failure is not None
    assert new.failure.reason is FailureReason.RESOURCE_EXHAUSTED
    assert events_of(actions) == [EventReason.FAILED, EventReason.RETRIES_EXHAUSTED]
    assert WakeAt(NOW + POLICY.cooldown) in actions


def test_one_attempt_allowed_means_no_retry() -> None:
    policy = replace(POLICY, max_failures=1)
    assert status_of(decide(execution(), seen(MINE, refusal=QUOTA), NOW, policy=policy)).phase is Phase.FAILED


def test_manifest_called_invalid_is_final_and_opens_no_cooldown() -> None:
    invalid = refusal("Invalid", "spec.timeouts.pipeline: Invalid value")
    actions = decide(execution(), seen(MINE, refusal=invalid), NOW, policy=POLICY)
    status = status_of(actions)
    assert status.phase is Phase.FAILED
    assert WakeAt(NOW) in actions
    freed = decide(execution(status), seen(MINE), NOW, policy=POLICY)
    assert ReleaseTarget(7) in freed


def test_running_follows_its_run_without_writing() -> None:
    assert decide(execution(running()), seen(MINE, run=run()), NOW, policy=POLICY) == ()


def test_success() -> None:
    before = running(failures=1, attempt=2)
    actions = decide(execution(before), seen(MINE, run=succeeded()), NOW, policy=POLICY)
    status = status_of(actions)
    assert (status.phase, status.failures, status.next_allowed) == (Phase.COMPLETED, 0, None)
    assert status.completed_at == NOW
    assert status.duration == "10s"
    assert events_of(actions) == [EventReason.COMPLETED]
    assert WakeAt(NOW + POLICY.cooldown) in actions
    assert WakeLine() in actions


def test_failed_task_ends_it_with_details() -> None:
    observed = seen(MINE, run=failed(message="Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 0"))
    observed = replace(observed, task_runs=(failed_task(),))
    status = status_of(decide(execution(running()), observed, NOW, policy=POLICY))
    assert status.phase is Phase.FAILED
    assert status.failure is not None
    assert (status.failure.reason, status.failure.exit_code) == (FailureReason.TASK_FAILED, 3)
    assert (status.failure.task_name, status.failure.step_name) == ("act", "act")
    assert status.failure.started is True
    complete = status.condition(ConditionType.COMPLETE)
    assert complete is not None
    assert (complete.status, complete.reason) == (False, "TaskFailed")


def test_run_refused_by_tekton_is_retried_in_running() -> None:
    observed = seen(MINE, run=failed("CouldntGetPipeline", message="manifest unknown"))
    before = running()
    status = status_of(decide(execution(before), observed, NOW, policy=POLICY))
    assert (status.phase, status.reason, status.failures) == (Phase.RUNNING, WaitReason.BACKING_OFF, 1)
    assert status.started_at == before.started_at
    condition = status.condition(ConditionType.RUNNING)
    assert condition is not None
    assert (condition.status, condition.reason) == (False, "PipelineFailedToStart")
    assert status.next_allowed is not None
    assert condition.message == (
        f"attempt 1 failed before any task ran, next not before {format_instant(status.next_allowed)}: "
        "CouldntGetPipeline: manifest unknown"
    )
    assert status.run_status == RunStatus("False", "CouldntGetPipeline", "manifest unknown")
    told = replace(status, pending_facts=())
    assert decide(execution(told), observed, NOW, policy=POLICY) == (WakeAt(status.next_allowed),)
    due = status.next_allowed
    assert decide(execution(status), observed, due, policy=POLICY) == (DeleteRun("run-1"),)
    assert decide(execution(status), seen(MINE), due, policy=POLICY) == (CreateRun(attempt=2, fence=7),)
    second = seen(MINE, run=run(attempt=2))
    again = status_of(decide(execution(status), second, due, policy=POLICY))
    assert (again.phase, again.attempt, again.started_at) == (Phase.RUNNING, 2, before.started_at)


def test_deleted_run_fails_it_and_opens_a_cooldown() -> None:
    actions = decide(execution(running()), seen(MINE), NOW, policy=POLICY)
    status = status_of(actions)
    assert status.failure is not None
    assert "deleted externally" in status.failure.message
    assert status.failure.started is False
    assert status.run_name == run_name(TARGET)
    assert WakeAt(NOW + POLICY.cooldown) in actions


def test_cooldown_keeps_run_and_hold() -> None:
    status = replace(ended(), pending_facts=())
    actions = decide(execution(status), seen(MINE, run=succeeded()), NOW, policy=POLICY)
    assert actions == (WakeAt(NOW - timedelta(seconds=4) + POLICY.cooldown),)


def test_after_cooldown_run_goes_then_the_hold() -> None:
    later = NOW + POLICY.cooldown
    over = execution(ended())
    assert decide(over, seen(MINE, run=succeeded()), later, policy=POLICY) == (DeleteRun("run-1"),)
    waiting = decide(over, seen(MINE, remains=1), later, policy=POLICY)
    assert not any(isinstance(action, ReleaseTarget) for action in waiting)
    released = decide(over, seen(MINE), later, policy=POLICY)
    assert events_of(released) == [EventReason.LOCK_RELEASED]
    assert ReleaseTarget(7) in released
    assert decide(over, seen(Free()), later, policy=POLICY) == (LeaveLine(),)


def test_run_of_somebody_else_is_not_deleted_after_cooldown() -> None:
    later = NOW + POLICY.cooldown
    actions = decide(execution(ended()), seen(MINE, run=run(owner="other")), later, policy=POLICY)
    assert not any(isinstance(action, DeleteRun) for action in actions)


@pytest.mark.parametrize("phase", [Phase.COMPLETED, Phase.FAILED, Phase.SKIPPED])
@pytest.mark.parametrize("hold", [Free(), MINE, BUSY, GateClosed()])
def test_terminal_phases_are_fixed_points(phase: Phase, hold: HoldView) -> None:
    for observed in (seen(hold), seen(hold, run=run()), seen(hold, run=failed(), task_runs=(failed_task(),))):
        for action in decide(execution(ended(phase)), observed, NOW, policy=POLICY):
            assert not isinstance(action, CreateRun)
            assert not isinstance(action, PatchStatus) or action.status.phase is phase


def test_forced_phase_without_completion_is_repaired() -> None:
    forced = replace(running(), phase=Phase.COMPLETED)
    status = status_of(decide(execution(forced), seen(MINE, run=succeeded()), NOW, policy=POLICY))
    assert status.completed_at == NOW


def test_end_seen_late_still_is_the_runs_end() -> None:
    late = NOW + timedelta(minutes=3)
    status = status_of(decide(execution(running()), seen(MINE, run=succeeded()), late, policy=POLICY))
    assert status.completed_at == NOW


def test_found_terminal_at_install_is_left_alone() -> None:
    """It has no place in a line; should a pass that died have left it one, it goes."""
    assert decide(execution(Status(phase=Phase.FAILED)), seen(), NOW, policy=POLICY) == (LeaveLine(),)


def test_acknowledged_facts_leave_the_status() -> None:
    fact = Fact(FactType.COMPLETED, 1, NOW)
    status = ended().with_condition(ConditionType.AUDIT, False, "AuditPending", "…", NOW)
    status = replace(status, pending_facts=(fact,))
    acknowledged = frozenset({event_id(UID, FactType.COMPLETED, 1)})
    actions = decide(execution(status), seen(MINE, acknowledged=acknowledged), NOW, policy=POLICY)
    new = status_of(actions)
    assert new.pending_facts == ()
    audit = new.condition(ConditionType.AUDIT)
    assert audit is not None
    assert (audit.status, audit.reason) == (True, "AuditSucceeded")
    assert BufferFacts() not in actions


def test_one_acknowledged_fact_among_others_costs_no_write() -> None:
    facts = (Fact(FactType.STARTED, 1, NOW), Fact(FactType.COMPLETED, 1, NOW))
    status = ended().with_condition(ConditionType.AUDIT, False, "AuditPending", "…", NOW)
    status = replace(status, pending_facts=facts)
    some = frozenset({event_id(UID, FactType.STARTED, 1)})
    actions = decide(execution(status), seen(MINE, acknowledged=some), NOW, policy=POLICY)
    assert not any(isinstance(action, PatchStatus) for action in actions)


def test_lost_facts_are_buffered_again() -> None:
    status = replace(running(), pending_facts=(Fact(FactType.STARTED, 1, NOW),))
    assert decide(execution(status), seen(MINE, run=run()), NOW, policy=POLICY) == (BufferFacts(),)


def test_deletion_removes_run_hold_and_finalizer() -> None:
    leaving = execution(running(), deleted_at=NOW)
    assert decide(leaving, seen(MINE, run=run()), NOW, policy=POLICY) == (DeleteRun("run-1"),)
    actions = decide(leaving, seen(MINE), NOW, policy=POLICY)
    assert ReleaseTarget(7) in actions
    assert actions[-1] == RemoveFinalizer()
    assert events_of(actions) == [EventReason.DELETED]


def test_no_creation_while_an_earlier_run_leaves_remains() -> None:
    actions = decide(execution(), seen(MINE, remains=2), NOW, policy=POLICY)
    status = status_of(actions)
    assert (status.phase, status.reason) == (Phase.PENDING, WaitReason.TARGET_BUSY)
    assert any(isinstance(action, WakeAt) for action in actions)
    again = decide(execution(status), seen(MINE, remains=1), NOW, policy=POLICY)
    assert not any(isinstance(action, PatchStatus | CreateRun) for action in again)
    refused = running(failures=1, next_allowed=NOW)
    waiting = decide(execution(refused), seen(MINE, remains=1), NOW, policy=POLICY)
    assert not any(isinstance(action, CreateRun) for action in waiting)


def test_deletion_waits_for_living_pods() -> None:
    actions = decide(execution(running(), deleted_at=NOW), seen(MINE, remains=1), NOW, policy=POLICY)
    assert not any(isinstance(action, ReleaseTarget | RemoveFinalizer) for action in actions)


def test_deletion_in_line_leaves_it() -> None:
    actions = decide(execution(deleted_at=NOW), seen(BUSY), NOW, policy=POLICY)
    assert LeaveLine() in actions
    assert actions[-1] == RemoveFinalizer()


def test_deletion_waits_for_the_audit_but_not_for_ever() -> None:
    status = replace(ended(), pending_facts=(Fact(FactType.COMPLETED, 1, NOW),))
    leaving = execution(status, deleted_at=NOW)
    early = decide(leaving, seen(Free()), NOW, policy=POLICY)
    assert early == (LeaveLine(), BufferFacts(), WakeAt(NOW + timedelta(seconds=1)))
    late = decide(leaving, seen(Free()), NOW + timedelta(seconds=30), policy=POLICY)
    assert late[-1] == RemoveFinalizer()


def test_deletion_never_touches_what_is_not_ours() -> None:
    for stranger in (run(owner="other"), run(owner="")):
        actions = decide(execution(deleted_at=NOW), seen(Free(), run=stranger), NOW, policy=POLICY)
        assert not any(isinstance(action, DeleteRun) for action in actions)


def test_events_carry_the_attempt_they_tell_of() -> None:
    actions = decide(execution(), seen(MINE, run=run()), NOW, policy=POLICY)
    assert [action.attempt for action in actions if isinstance(action, EmitEvent)] == [1]


def test_busy_place_of_a_running_one_is_given_up_at_the_end() -> None:
    later = NOW + POLICY.cooldown
    busy = Busy(BUSY.holder, BUSY.holder_uid, BUSY.since, 2)
    assert decide(execution(ended()), seen(busy), later, policy=POLICY) == (LeaveLine(),)
