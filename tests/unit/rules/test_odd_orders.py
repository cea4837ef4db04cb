"""Asks in odd orders and statuses that others left: who acted, when it ended, and who goes on."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from models.actions import AddFinalizer, BufferFacts, DeleteRun, EventReason, LeaveLine, PatchStatus, ReleaseTarget
from models.decide import decide
from models.execution import ConcurrencyPolicy
from models.hold import Free, GateClosed
from models.manifest import pipeline_run
from models.names import ASK_CANCEL, ASK_CLEAR, ASK_UNLOCK, REQUESTED_BY
from models.run import Run
from models.status import ClearMethod, Fact, FactType, Phase, SkipReason, Status
from models.status_document import status_document
from models.validation import find_fault
from tests.unit.rules.builders import (
    BUSY,
    MINE,
    NOW,
    POLICY,
    ended,
    events_of,
    execution,
    failed,
    run,
    running,
    seen,
    spec,
    status_of,
    succeeded,
)
from tests.unit.rules.test_taken import BLOCKING

LONG_AGO = NOW - timedelta(minutes=10)


def asking(status: Status, *annotations: str, **changes: Any) -> Any:
    asks = dict.fromkeys(annotations, "looked at")
    return execution(status, annotations={**asks, REQUESTED_BY: "ann"}, **changes)


def test_clear_and_delete_at_once_is_the_clear_of_who_asked_for_it() -> None:
    both = asking(BLOCKING, ASK_CLEAR, deleted_at=NOW)
    status = status_of(decide(both, seen(MINE, requester_verified=True), NOW, policy=POLICY))
    assert status.clearance is not None
    assert (status.clearance.by, status.clearance.method) == ("ann", ClearMethod.ANNOTATION)


def test_unlock_and_delete_at_once_is_the_unlock_of_who_asked_for_it() -> None:
    both = asking(BLOCKING, ASK_UNLOCK, deleted_at=NOW)
    actions = decide(both, seen(MINE, requester_verified=True), NOW, policy=POLICY)
    status = status_of(actions)
    assert status.unlock is not None
    assert status.unlock.by == "ann"
    assert status.clearance is None


def test_all_asks_at_once_on_an_ended_one_end_with_a_free_target() -> None:
    """Cancel, clear and unlock together; each is answered once, and in the end nothing is held."""
    what = asking(BLOCKING, ASK_CANCEL, ASK_CLEAR, ASK_UNLOCK)
    told: list[FactType] = []
    for _ in range(6):
        actions = decide(what, seen(MINE), NOW, policy=POLICY)
        writes = [action.status for action in actions if isinstance(action, PatchStatus)]
        if not writes:
            break
        told += [fact.type for fact in writes[0].pending_facts]
        what = replace(what, status=replace(writes[0], pending_facts=()))
    assert told == [FactType.UNLOCKED]
    assert ReleaseTarget(7) in actions


def test_cancel_between_attempts_ends_when_it_was_cancelled() -> None:
    """The refused run ended minutes ago; the end of the execution, which its cooldown counts from, is now."""
    refused = replace(failed("CouldntGetPipeline"), ended_at=LONG_AGO)
    waiting = running(failures=1, started_at=LONG_AGO, next_allowed=NOW + timedelta(seconds=30))
    status = status_of(decide(asking(waiting, ASK_CANCEL), seen(MINE, run=refused), NOW, policy=POLICY))
    assert status.phase is Phase.FAILED
    assert status.completed_at == NOW


@pytest.mark.parametrize("owner", ["other", ""])
def test_run_of_another_says_nothing_about_the_end_of_ours(owner: str) -> None:
    """Ours was deleted by hand, and something else of its name has ended since."""
    foreign = run(
        owner=owner, succeeded=True, reason="ForeignReason", ended_at=NOW - timedelta(seconds=5), created_at=LONG_AGO
    )
    status = status_of(decide(execution(running()), seen(MINE, run=foreign), NOW, policy=POLICY))
    assert status.failure is not None
    assert "deleted externally" in status.failure.message
    assert status.completed_at == NOW
    assert "ForeignReason" not in str(status_document(status))


@pytest.mark.parametrize("found", [None, run(), succeeded()])
def test_what_was_forced_to_its_end_before_our_first_write_frees_what_it_took(found: Run | None) -> None:
    """A pass took the target, perhaps created the run, and died; somebody forced the phase before the next."""
    what = execution(Status(phase=Phase.FAILED))
    observed, now = seen(MINE, run=found), NOW
    for _ in range(8):
        actions = decide(what, observed, now, policy=POLICY)
        assert actions, "it holds its target for ever"
        for action in actions:
            if isinstance(action, PatchStatus):
                what = replace(what, status=action.status)
            if isinstance(action, DeleteRun):
                observed = replace(observed, run=None)
        if any(isinstance(action, ReleaseTarget) for action in actions):
            break
        now += POLICY.cooldown
    assert ReleaseTarget(7) in actions
    assert what.status.phase is Phase.FAILED


@pytest.mark.parametrize("hold", [BUSY, Free()])
def test_what_was_forced_to_its_end_before_our_first_write_leaves_the_line(hold: Any) -> None:
    assert decide(execution(Status(phase=Phase.COMPLETED)), seen(hold), NOW, policy=POLICY) == (LeaveLine(),)
    for other in (replace(BUSY, position=0), GateClosed()):
        assert decide(execution(Status(phase=Phase.COMPLETED)), seen(other), NOW, policy=POLICY) == ()


@pytest.mark.parametrize("status", [running(), BLOCKING, ended()])
def test_finalizer_that_somebody_removed_is_put_back_while_there_is_something_to_clean_up(status: Status) -> None:
    assert decide(execution(status, finalizers=()), seen(MINE, run=run()), NOW, policy=POLICY) == (AddFinalizer(),)


def test_finalizer_is_not_forced_on_what_needs_no_cleaning() -> None:
    rested = ended(completed_at=NOW - timedelta(hours=1))
    for what in (rested, Status(phase=Phase.COMPLETED)):
        assert AddFinalizer() not in decide(execution(what, finalizers=()), seen(), NOW, policy=POLICY)


def test_retry_that_nobody_told_of_is_told_while_it_waits() -> None:
    """Its writer died before it told anybody; the next attempt may be a quarter of an hour away."""
    waiting = running(
        failures=1, next_allowed=NOW + timedelta(minutes=15), pending_facts=(Fact(FactType.RETRYING, 1, NOW),)
    )
    assert BufferFacts() in decide(execution(waiting), seen(MINE), NOW, policy=POLICY)


HUGE = "default/deployment/" + "x" * 700_000


@pytest.mark.parametrize("policy", list(ConcurrencyPolicy))
@pytest.mark.parametrize("status", [running(), ended(), BLOCKING])
def test_status_stays_small_however_long_the_texts_of_the_specs_are(policy: ConcurrencyPolicy, status: Status) -> None:
    """etcd takes 1.5 MiB an object: a status that quotes a megabyte could never be written."""
    mine = execution(spec=spec(target=HUGE, concurrency=policy))
    holder = execution(status, uid="9f9f", key=BUSY.holder, spec=spec(target=HUGE, workflow_id="w" * 300_000))
    actions = decide(mine, seen(BUSY, holder=holder), NOW, policy=POLICY)
    written = status_of(actions)
    assert len(str(status_document(written))) < 100_000
    if written.skip is not None:
        assert written.skip.reason in SkipReason


def test_reason_of_any_size_and_kind_is_recorded_and_told() -> None:
    reason = "línea\n\t\x1b[2J\u202e" + "ü" * 4096
    what = execution(BLOCKING, annotations={ASK_CLEAR: reason, REQUESTED_BY: "n" * 4096})
    actions = decide(what, seen(MINE), NOW, policy=POLICY)
    status = status_of(actions)
    assert status.clearance is not None
    assert len(status.clearance.reason) == 1024
    assert len(status.clearance.by) <= 300
    assert events_of(actions) == [EventReason.BLOCK_CLEARED]


DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def test_image_that_is_pinned_already_is_not_pinned_twice() -> None:
    for image in ("registry.example/restart:v1", f"registry.example/restart:v1@{DIGEST}"):
        what = execution(spec=spec(image=image, digest=DIGEST))
        assert find_fault(what.spec) is None
        [bundle] = [
            each["value"]
            for each in pipeline_run(what, 1, 7, POLICY)["spec"]["pipelineRef"]["params"]
            if each["name"] == "bundle"
        ]
        assert bundle == f"registry.example/restart:v1@{DIGEST}"


def test_image_pinned_to_something_else_than_declared_is_refused() -> None:
    fault = find_fault(spec(image=f"registry.example/restart@{DIGEST}", digest=OTHER))
    assert fault is not None
    assert "containerDigest" in fault
