"""CONTRACT 3, what an end leaves behind: cooldowns, blocks, and the asks that lift them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from models.actions import (
    Action,
    DeleteRun,
    EventReason,
    PatchStatus,
    ReleaseTarget,
    RemoveFinalizer,
    TakeTarget,
    WakeAt,
    WakeLine,
)
from models.audit import event_id, pending_events
from models.decide import decide
from models.hold import Free, HoldView
from models.names import ASK_CLEAR, ASK_UNLOCK, REQUESTED_BY
from models.observed import Observed
from models.restore import restore
from models.rules.cooldown import blocks, rest_until
from models.status import (
    Clearance,
    ClearMethod,
    ConditionType,
    Fact,
    FactType,
    Phase,
    Request,
    Status,
)
from tests.unit.rules.builders import (
    BUSY,
    MINE,
    NOW,
    POLICY,
    UID,
    ended,
    events_of,
    execution,
    failed,
    failed_task,
    run,
    running,
    seen,
    status_of,
    succeeded,
)
from tests.unit.rules.test_taken import BEFORE, BLOCKING, CLEARED, MID_RUN, UNLOCKED

LENIENT = replace(POLICY, block_after_failure=False)
LATER = NOW + POLICY.cooldown
UNCREATED = Status(phase=Phase.FAILED, attempt=1, completed_at=NOW, failure=BEFORE)

COOLDOWNS = [
    ("success", ended(), True),
    ("failure", ended(Phase.FAILED, failure=MID_RUN), True),
    ("cancel of a run", ended(Phase.FAILED, failure=BEFORE, cancellation=UNLOCKED), True),
    ("retries used up without a run", replace(UNCREATED, attempt=5, failures=5), True),
    ("retries used up with one", ended(Phase.FAILED, attempt=5, failures=5), True),
    ("skipped", replace(UNCREATED, phase=Phase.SKIPPED), False),
    ("skipped in its second attempt", replace(UNCREATED, phase=Phase.SKIPPED, attempt=2, failures=1), False),
    ("lost a race", UNCREATED, False),
    ("lost a race in its second attempt", replace(UNCREATED, attempt=2, failures=1), False),
    ("invalid", UNCREATED, False),
    ("ended before we came", Status(phase=Phase.FAILED, completed_at=NOW, run_name="x", failure=MID_RUN), False),
    ("unlocked", ended(unlock=UNLOCKED), False),
]


@pytest.mark.parametrize(("status", "rests"), [row[1:] for row in COOLDOWNS], ids=[row[0] for row in COOLDOWNS])
def test_which_ends_open_a_cooldown(status: Status, rests: bool) -> None:
    assert (rest_until(status, POLICY) is not None) is rests


BLOCKS = [
    ("failed in mid-run", BLOCKING, True),
    ("failed before any task", replace(BLOCKING, failure=BEFORE), False),
    ("completed", ended(), False),
    ("cleared", replace(BLOCKING, clearance=CLEARED), False),
    ("unlocked", replace(BLOCKING, unlock=UNLOCKED), False),
    ("ended before we came", replace(BLOCKING, attempt=0), False),
    ("not ended", running(), False),
]


@pytest.mark.parametrize(("status", "blocking"), [row[1:] for row in BLOCKS], ids=[row[0] for row in BLOCKS])
def test_which_ends_block(status: Status, blocking: bool) -> None:
    assert blocks(status, POLICY) is blocking
    assert not blocks(status, LENIENT)


def asked(status: Status, annotation: str = ASK_CLEAR, reason: str = "looked at", by: str = "ann") -> Any:
    return execution(status, annotations={annotation: reason, REQUESTED_BY: by})


def pass_of(status: Status, observed: Observed, now: Any = NOW) -> tuple[Action, ...]:
    return decide(execution(status), observed, now, policy=POLICY)


def test_failure_in_mid_run_tells_the_whole_line() -> None:
    observed = seen(MINE, run=failed(), task_runs=(failed_task(),))
    actions = pass_of(running(), observed)
    assert blocks(status_of(actions), POLICY)
    assert WakeLine(everyone=True) in actions
    assert WakeLine() in pass_of(running(), seen(MINE, run=succeeded()))


def test_block_outlasts_its_cooldown_and_its_run() -> None:
    assert pass_of(BLOCKING, seen(MINE, run=failed())) == (WakeAt(NOW - timedelta(seconds=4) + POLICY.cooldown),)
    assert pass_of(BLOCKING, seen(MINE, run=failed()), LATER) == (DeleteRun("run-1"),)
    assert pass_of(BLOCKING, seen(MINE), LATER) == ()
    freed = decide(execution(BLOCKING), seen(MINE), LATER, policy=LENIENT)
    assert ReleaseTarget(7) in freed


@pytest.mark.parametrize("hold", [Free(), replace(BUSY, position=0)])
def test_block_without_its_hold_takes_it_again(hold: HoldView) -> None:
    assert pass_of(BLOCKING, seen(hold), LATER) == (TakeTarget(),)
    assert pass_of(BLOCKING, seen(BUSY), LATER) == ()


def test_clear_is_recorded_told_and_frees_the_target_after_the_cooldown() -> None:
    actions = decide(asked(BLOCKING), seen(MINE), NOW, policy=POLICY)
    status = status_of(actions)
    assert status.clearance == Clearance(at=NOW, by="unverified:ann", reason="looked at", method=ClearMethod.ANNOTATION)
    assert [fact.type for fact in status.pending_facts] == [FactType.BLOCK_CLEARED]
    assert events_of(actions) == [EventReason.BLOCK_CLEARED]
    assert WakeLine(everyone=True) in actions
    settled = replace(status, pending_facts=())
    resting = decide(asked(settled), seen(MINE), NOW, policy=POLICY)
    assert not any(isinstance(action, ReleaseTarget) for action in resting)
    assert ReleaseTarget(7) in decide(asked(settled), seen(MINE), LATER, policy=POLICY)


def test_name_that_admission_vouches_for_is_taken_as_it_is() -> None:
    verified = seen(MINE, requester_verified=True)
    status = status_of(decide(asked(BLOCKING), verified, NOW, policy=POLICY))
    assert status.clearance is not None
    assert status.clearance.by == "ann"
    nobody = status_of(decide(asked(BLOCKING, by=""), verified, NOW, policy=POLICY))
    assert nobody.clearance is not None
    assert nobody.clearance.by == "unverified:unknown"


@pytest.mark.parametrize("reason", ["", "  "])
def test_clear_without_a_reason_is_none(reason: str) -> None:
    assert not any(
        isinstance(a, PatchStatus) for a in decide(asked(BLOCKING, reason=reason), seen(MINE), NOW, policy=POLICY)
    )


@pytest.mark.parametrize("status", [ended(), ended(Phase.FAILED, failure=BEFORE), running(), Status()])
def test_clear_of_what_blocks_nothing_is_not_recorded(status: Status) -> None:
    for action in decide(asked(status), seen(MINE, run=run()), NOW, policy=POLICY):
        assert not isinstance(action, PatchStatus) or action.status.clearance is None


def test_clearance_written_into_the_status_counts_and_is_told_once() -> None:
    by_hand = Clearance(at=None, by="bob", reason="by hand", method=ClearMethod.STATUS_FIELD)
    actions = pass_of(replace(BLOCKING, clearance=by_hand), seen(MINE))
    status = status_of(actions)
    assert status.clearance == replace(by_hand, at=NOW, by="unverified:bob")
    assert [fact.type for fact in status.pending_facts] == [FactType.BLOCK_CLEARED]
    assert events_of(actions) == [EventReason.BLOCK_CLEARED]
    again = pass_of(replace(status, pending_facts=()), seen(MINE), LATER)
    assert ReleaseTarget(7) in again
    assert EventReason.BLOCK_CLEARED not in events_of(again)


def test_clearance_written_by_hand_as_if_by_annotation_is_told_as_what_it_is() -> None:
    by_hand = Clearance(at=NOW, by="bob", reason="by hand", method=ClearMethod.ANNOTATION)
    cleared = replace(BLOCKING, clearance=by_hand)
    ours = decide(execution(cleared), seen(MINE), NOW, policy=POLICY)
    assert EventReason.BLOCK_CLEARED not in events_of(ours)
    actions = decide(execution(cleared, cleared_by_hand=True), seen(MINE), NOW, policy=POLICY)
    status = status_of(actions)
    assert status.clearance == replace(by_hand, by="unverified:bob", method=ClearMethod.STATUS_FIELD)
    assert [fact.type for fact in status.pending_facts] == [FactType.BLOCK_CLEARED]
    assert events_of(actions) == [EventReason.BLOCK_CLEARED]
    again = decide(execution(status), seen(MINE), NOW, policy=POLICY)
    assert EventReason.BLOCK_CLEARED not in events_of(again)


def test_clearance_written_by_hand_that_looks_like_ours_is_told_once() -> None:
    looks_told = Clearance(
        at=NOW - timedelta(minutes=1), by="unverified:bob", reason="by hand", method=ClearMethod.STATUS_FIELD
    )
    cleared = replace(BLOCKING, clearance=looks_told)
    ours = decide(execution(cleared), seen(MINE), NOW, policy=POLICY)
    assert EventReason.BLOCK_CLEARED not in events_of(ours)
    actions = decide(execution(cleared, cleared_by_hand=True), seen(MINE), NOW, policy=POLICY)
    status = status_of(actions)
    # The instant changes, so that the API server records the clearance as written by us.
    assert status.clearance == replace(looks_told, at=NOW)
    assert [fact.type for fact in status.pending_facts] == [FactType.BLOCK_CLEARED]
    assert events_of(actions) == [EventReason.BLOCK_CLEARED]
    assert WakeLine(everyone=True) in actions


@pytest.mark.parametrize("status", [BLOCKING, ended()])
def test_unlock_tells_the_whole_line_of_a_block_and_else_the_first(status: Status) -> None:
    actions = decide(asked(status, ASK_UNLOCK), seen(MINE, run=succeeded()), NOW, policy=POLICY)
    assert [a.everyone for a in actions if isinstance(a, WakeLine)] == [status is BLOCKING]


@pytest.mark.parametrize("status", [BLOCKING, ended()])
def test_unlock_frees_the_target_of_an_ended_one_within_its_cooldown(status: Status) -> None:
    actions = decide(asked(status, ASK_UNLOCK), seen(MINE, run=succeeded()), NOW, policy=POLICY)
    new = status_of(actions)
    assert new.unlock == Request(at=NOW, by="unverified:ann", reason="looked at")
    assert [fact.type for fact in new.pending_facts] == [FactType.UNLOCKED]
    unlocked = asked(replace(new, pending_facts=()), ASK_UNLOCK)
    assert decide(unlocked, seen(MINE, run=succeeded()), NOW, policy=POLICY) == (DeleteRun("run-1"),)
    assert ReleaseTarget(7) in decide(unlocked, seen(MINE), NOW, policy=POLICY)
    assert not any(
        isinstance(action, ReleaseTarget) for action in decide(unlocked, seen(MINE, remains=1), NOW, policy=POLICY)
    )


def test_unlock_of_one_that_holds_nothing_is_not_recorded() -> None:
    rested = ended(completed_at=NOW - timedelta(hours=1))
    for hold in (Free(), BUSY):
        for action in decide(asked(rested, ASK_UNLOCK), seen(hold), NOW, policy=POLICY):
            assert not isinstance(action, PatchStatus)


@pytest.mark.parametrize("status", [running(), Status()])
def test_unlock_of_one_that_has_not_ended_is_ignored(status: Status) -> None:
    for action in decide(asked(status, ASK_UNLOCK), seen(MINE, run=run()), NOW, policy=POLICY):
        assert not isinstance(action, ReleaseTarget)
        assert not isinstance(action, PatchStatus) or action.status.unlock is None


def test_deletion_of_who_blocks_is_recorded_as_what_lifted_the_block() -> None:
    leaving = execution(BLOCKING, deleted_at=NOW)
    actions = decide(leaving, seen(MINE, run=failed()), NOW, policy=POLICY)
    status = status_of(actions)
    assert status.clearance is not None
    assert (status.clearance.by, status.clearance.method) == ("unverified:unknown", ClearMethod.API_ENDPOINT)
    assert "deleted" in status.clearance.reason
    assert [fact.type for fact in status.pending_facts] == [FactType.BLOCK_CLEARED]
    assert not any(isinstance(action, RemoveFinalizer) for action in actions)
    gone = execution(replace(status, pending_facts=()), deleted_at=NOW)
    assert decide(gone, seen(MINE), NOW, policy=POLICY)[-1] == RemoveFinalizer()
    lenient = decide(leaving, seen(MINE), NOW, policy=LENIENT)
    assert lenient[-1] == RemoveFinalizer()


def test_block_survives_an_emptied_redis() -> None:
    found = restore([execution(BLOCKING)], [], LATER, POLICY)
    assert [hold.owner.uid for hold in found.holds] == [UID]
    assert [key.name for key in found.unfinished] == ["again"]
    assert restore([execution(BLOCKING)], [], LATER, LENIENT).holds == ()
    assert restore([execution(replace(BLOCKING, unlock=UNLOCKED))], [], NOW, POLICY).holds == ()


def test_of_a_block_and_a_run_on_one_target_the_run_holds_and_the_block_stands_in_line() -> None:
    other = execution(running(), uid="other", key=BUSY.holder)
    found = restore([execution(replace(BLOCKING, fence=99)), other], [run(owner="other")], LATER, POLICY)
    assert [hold.owner.uid for hold in found.holds] == ["other"]
    assert [place.owner.uid for place in found.places] == [UID]


def test_of_two_blocks_on_one_target_the_later_holds_and_the_other_stands_in_line() -> None:
    other = execution(replace(BLOCKING, fence=99), uid="other", key=BUSY.holder)
    found = restore([execution(BLOCKING), other], [], LATER, POLICY)
    assert [hold.owner.uid for hold in found.holds] == ["other"]
    assert [place.owner.uid for place in found.places] == [UID]


ACTS = [
    (FactType.BLOCK_CLEARED, {"clearance": CLEARED}),
    (FactType.UNLOCKED, {"unlock": UNLOCKED}),
    (FactType.CANCELLED, {"cancellation": UNLOCKED}),
]


@pytest.mark.parametrize(("kind", "record"), ACTS)
def test_act_of_a_person_is_audited_as_his(kind: FactType, record: dict[str, Any]) -> None:
    status = replace(BLOCKING, pending_facts=(Fact(kind, 1, NOW),), **record)
    [event] = pending_events(execution(status))
    assert (event.body["actor_type"], event.body["actor_id"]) == ("user", "ann")
    assert event.body["event_data"]["request_reason"] == "looked"
    assert event.body["event_outcome"] == "success"
    [erased] = pending_events(execution(replace(BLOCKING, pending_facts=(Fact(kind, 1, NOW),))))
    assert erased.body["actor_id"] == "unverified:unknown"


def test_no_parameter_is_audited() -> None:
    secret = {"password": "hunter2", "GRACE": "30"}
    all_facts = tuple(Fact(kind, 1, NOW) for kind in FactType)
    told = execution(replace(BLOCKING, pending_facts=all_facts, clearance=CLEARED, unlock=UNLOCKED))
    told = replace(told, spec=replace(told.spec, parameters=secret))
    for event in pending_events(told):
        assert b"hunter2" not in event.encoded()
        assert b"password" not in event.encoded()


@pytest.mark.parametrize("name", ["password", "DB_PASSWD", "apiKey", "api-key", "GITHUB_TOKEN", "clientSecret", "Auth"])
def test_a_secret_that_a_message_quotes_is_blanked(name: str) -> None:
    assert BLOCKING.failure is not None
    failure = replace(BLOCKING.failure, message="step failed: hunter2hunter2 is wrong, GRACE=3000, hunter2 too")
    told = execution(replace(BLOCKING, pending_facts=(Fact(FactType.FAILED, 1, NOW),), failure=failure))
    parameters = {name: "hunter2", f"{name}-2": "hunter2hunter2", "GRACE": "3000", f"{name}-3": "st"}
    told = replace(told, spec=replace(told.spec, parameters=parameters))
    (event,) = pending_events(told)
    assert event.body["event_data"]["failure_message"] == "step failed: *** is wrong, GRACE=3000, *** too"


def waiting_for_audit(*kinds: FactType) -> Status:
    status = ended().with_condition(ConditionType.AUDIT, False, "AuditPending", "…", NOW)
    return replace(status, pending_facts=tuple(Fact(kind, 1, NOW) for kind in kinds))


def test_refused_fact_is_named_with_its_reason_and_stays() -> None:
    refused = {event_id(UID, FactType.COMPLETED, 1): "event_data is too deep"}
    stored = frozenset({event_id(UID, FactType.STARTED, 1)})
    before = waiting_for_audit(FactType.STARTED, FactType.COMPLETED)
    status = status_of(pass_of(before, seen(MINE, acknowledged=stored, refused_facts=refused)))
    audit = status.condition(ConditionType.AUDIT)
    assert audit is not None
    assert (audit.status, audit.reason) == (False, "AuditFailed")
    assert "workflow.completed" in audit.message
    assert "event_data is too deep" in audit.message
    assert [fact.type for fact in status.pending_facts] == [FactType.COMPLETED]
    again = pass_of(status, seen(MINE, acknowledged=stored, refused_facts=refused))
    assert not any(isinstance(action, PatchStatus) for action in again)
    accepted = frozenset({event_id(UID, FactType.COMPLETED, 1)})
    mended = status_of(pass_of(status, seen(MINE, acknowledged=accepted, refused_facts=refused)))
    audit = mended.condition(ConditionType.AUDIT)
    assert audit is not None
    assert (audit.reason, mended.pending_facts) == ("AuditSucceeded", ())


def test_refused_fact_that_left_quarantine_is_pending_again() -> None:
    refused = {event_id(UID, FactType.COMPLETED, 1): "too deep"}
    status = status_of(pass_of(waiting_for_audit(FactType.COMPLETED), seen(MINE, refused_facts=refused)))
    audit = status_of(pass_of(status, seen(MINE))).condition(ConditionType.AUDIT)
    assert audit is not None
    assert audit.reason == "AuditPending"


def test_deletion_does_not_wait_for_what_will_never_be_taken() -> None:
    status = waiting_for_audit(FactType.COMPLETED)
    leaving = execution(status, deleted_at=NOW)
    refused = {event_id(UID, FactType.COMPLETED, 1): "too deep"}
    assert decide(leaving, seen(MINE, refused_facts=refused), NOW, policy=POLICY)[-1] == RemoveFinalizer()
