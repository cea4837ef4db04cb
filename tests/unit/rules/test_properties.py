"""What holds for every execution and every observation, whoever wrote them: I3, I5 and I6 as properties of `decide`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from models.actions import (
    LEARNING,
    Action,
    AddFinalizer,
    CancelRun,
    CreateRun,
    DeleteRun,
    PatchStatus,
    ReleaseTarget,
    RemoveFinalizer,
)
from models.decide import decide
from models.execution import Execution
from models.freeze import Freeze
from models.hold import Free, GateClosed, Mine
from models.names import ASK_CANCEL
from models.observed import Observed
from models.policy import Policy
from models.rules.asking import asked
from models.rules.cooldown import blocks, keeps_target
from models.run import Ownership
from models.status import Phase, Status
from models.status_document import status_document
from models.status_reading import read_status
from models.validation import too_large
from tests.unit.rules.builders import BUSY, MINE, NOW, ended, execution, run, running, seen, succeeded
from tests.unit.rules.drawn import executions, not_terminal, observations, policies, terminal
from tests.unit.rules.test_taken import MID_RUN

Hindrance = Callable[[Execution, Observed], tuple[Execution, Observed]]
LEGAL = {
    Phase.PENDING: set(Phase) - {Phase.COMPLETED},
    Phase.RUNNING: {Phase.RUNNING, Phase.COMPLETED, Phase.FAILED},
    **{phase: {phase} for phase in Phase if phase.terminal},
}
READY = [
    Status(),
    Status(attempt=1, failures=1, next_allowed=NOW, fence=7),
    running(failures=1, next_allowed=NOW),
]
"""A first attempt, a second before any run, and one after a run that was refused."""


def _with_status(**changes: Any) -> Hindrance:
    return lambda e, observed: (replace(e, status=replace(e.status, **changes)), observed)


def _with(**changes: Any) -> Hindrance:
    return lambda e, observed: (e, replace(observed, **changes))


HINDRANCES: dict[str, Hindrance] = {
    "another holds the target": _with(hold=BUSY, holder=execution(running(), uid=BUSY.holder_uid)),
    "another's cooldown": _with(hold=BUSY, holder=execution(ended(), uid=BUSY.holder_uid)),
    "the gate is closed": _with(hold=GateClosed()),
    "nobody holds it yet": _with(hold=Free()),
    "its next attempt is not due": _with_status(next_allowed=NOW + timedelta(seconds=1)),
    "remains of an earlier run": _with(remains=1),
    "a run stands there": _with(run=run(attempt=2)),
    "another's run stands there": _with(run=run(owner="other"), run_owner_lives=True),
    "a run with copied annotations stands there": _with(
        run=run(owner="other"), run_owner_lives=True, run_owner_elsewhere=True
    ),
    "a foreign run stands there": _with(run=run(owner="")),
    "frozen": _with(frozen=Freeze(reason="upgrade", by="ann", since=NOW)),
    "its engine is absent": _with(engine_available=False),
    "its cancellation is asked for": lambda e, observed: (replace(e, annotations={ASK_CANCEL: "stop"}), observed),
    "it is being deleted": lambda e, observed: (replace(e, deleted_at=NOW), observed),
    "it has ended": _with_status(phase=Phase.FAILED, completed_at=NOW),
}
KEEPERS: dict[str, Hindrance] = {
    "its cooldown": _with_status(completed_at=NOW - timedelta(seconds=1)),
    "its block": _with_status(phase=Phase.FAILED, failure=MID_RUN),
    "its run": _with(run=succeeded()),
    "its run, which is being deleted": _with(run=run(deleting=True)),
    "what its run left behind": _with(remains=1),
    "another holds the target": _with(hold=BUSY, holder=execution(running(), uid=BUSY.holder_uid)),
    "the gate is closed": _with(hold=GateClosed()),
    "nobody holds the target": _with(hold=Free()),
}
MOST_WRITES = 4
"""Started, cancelled, ended, cleared or unlocked: more steps than these nothing seen at one glance can bring."""


def writes(actions: tuple[Action, ...]) -> list[PatchStatus]:
    return [action for action in actions if isinstance(action, PatchStatus)]


def has(actions: tuple[Action, ...], *kinds: type[Action]) -> bool:
    return any(isinstance(action, kinds) for action in actions)


@given(executions(), observations(), policies, st.floats(-1, 1))
def test_every_world_has_one_answer(e: Execution, observed: Observed, policy: Policy, jitter: float) -> None:
    actions = decide(e, observed, NOW, policy=policy, jitter=jitter)
    assert actions == decide(e, observed, NOW, policy=policy, jitter=jitter)
    assert len(writes(actions)) <= 1
    assert not writes(actions) or isinstance(actions[0], PatchStatus)
    assert not has(actions[:-1], *LEARNING)
    assert not (writes(actions) and has(actions, *LEARNING))


@given(executions(), observations(), policies)
def test_phases_never_go_back_and_ends_are_for_good(e: Execution, observed: Observed, policy: Policy) -> None:
    before = e.status
    for write in writes(decide(e, observed, NOW, policy=policy)):
        after = write.status
        assert after.phase in LEGAL[before.phase]
        assert after.attempt >= before.attempt
        if before.phase.terminal:
            assert (after.failure, after.skip, after.failures) == (before.failure, before.skip, before.failures)
            assert before.completed_at in (None, after.completed_at)
        if after.phase.terminal and e.deleted_at is None:
            assert after.completed_at is not None
            assert after.queue is None or before.phase.terminal


@given(executions(not_terminal), observations(), policies)
def test_run_is_created_under_a_hold_and_past_nothing_that_forbids_it(
    e: Execution, observed: Observed, policy: Policy
) -> None:
    if not has(decide(e, observed, NOW, policy=policy), CreateRun):
        return
    assert isinstance(observed.hold, Mine)
    assert observed.run is None
    assert observed.remains == 0
    assert e.status.next_allowed is None or e.status.next_allowed <= NOW
    assert observed.frozen is None
    assert observed.engine_available
    assert not asked(e, ASK_CANCEL)
    assert e.deleted_at is None
    assert e.guarded or too_large(e.spec)


@given(st.sampled_from(READY), st.sets(st.sampled_from(sorted(HINDRANCES)), max_size=3))
def test_run_is_created_exactly_when_nothing_stands_in_the_way(status: Status, hindrances: set[str]) -> None:
    e, observed = execution(status), seen(MINE)
    for name in sorted(hindrances):
        e, observed = HINDRANCES[name](e, observed)
    assert has(decide(e, observed, NOW, policy=Policy()), CreateRun) is not bool(hindrances)


@given(executions(terminal), observations(), policies)
def test_who_has_ended_creates_and_cancels_nothing(e: Execution, observed: Observed, policy: Policy) -> None:
    actions = decide(e, observed, NOW, policy=policy)
    assert not has(actions, CreateRun, CancelRun)
    assert not has(actions, AddFinalizer) or (not e.guarded and keeps_target(e.status, NOW, policy))


@given(st.sets(st.sampled_from(sorted(KEEPERS)), max_size=3))
def test_target_is_freed_exactly_when_nothing_keeps_it(keepers: set[str]) -> None:
    e, observed = execution(ended(completed_at=NOW - timedelta(hours=1))), seen(MINE)
    for name in sorted(keepers):
        e, observed = KEEPERS[name](e, observed)
    assert has(decide(e, observed, NOW, policy=Policy()), ReleaseTarget) is not bool(keepers)


@given(executions(), observations(), policies)
def test_target_is_freed_by_its_holder_who_needs_it_no_more(e: Execution, observed: Observed, policy: Policy) -> None:
    ours = observed.run is not None and observed.run.ownership(e) is Ownership.OURS
    observed = replace(observed, engine_available=True)  # without its engine one that waits gives up the target
    for action in decide(e, observed, NOW, policy=policy):
        if isinstance(action, ReleaseTarget):
            assert isinstance(observed.hold, Mine)
            assert action.fence == observed.hold.fence
            assert not ours
            assert observed.remains == 0
            assert e.deleted_at is not None or not keeps_target(e.status, NOW, policy)
        if isinstance(action, RemoveFinalizer):
            assert e.deleted_at is not None
            assert not ours
            assert not blocks(e.status, policy)


@given(executions(), observations(), policies)
def test_no_run_is_touched_that_is_not_ours(e: Execution, observed: Observed, policy: Policy) -> None:
    for action in decide(e, observed, NOW, policy=policy):
        if isinstance(action, DeleteRun | CancelRun):
            assert observed.run is not None
            assert action.uid == observed.run.uid
            whose = observed.run.ownership(e)
            orphan = whose is Ownership.ANOTHERS and not observed.run_owner_lives and observed.run.succeeded is not None
            assert whose is Ownership.OURS or orphan


@given(executions(), observations(), policies)
def test_block_and_cooldown_of_the_holder_keep_everybody_out(e: Execution, observed: Observed, policy: Policy) -> None:
    kept = observed.holder is not None and keeps_target(observed.holder.status, NOW, policy)
    if kept and not isinstance(observed.hold, Mine):
        assert not has(decide(e, observed, NOW, policy=policy), CreateRun, ReleaseTarget)


@given(executions(), observations(), policies)
def test_what_was_written_is_not_written_again(e: Execution, observed: Observed, policy: Policy) -> None:
    """A refusal answers one creation of one pass, so it is not seen again; what else was seen stays as it was."""
    told = {(fact.type, fact.attempt) for fact in e.status.pending_facts}
    for _ in range(MOST_WRITES + 1):
        found = writes(decide(e, observed, NOW, policy=policy))
        if not found:
            return
        before, after = e.status, found[0].status
        assert after != before
        assert read_status(status_document(after)) == after
        new = {(fact.type, fact.attempt) for fact in after.pending_facts} - {
            (fact.type, fact.attempt) for fact in before.pending_facts
        }
        assert not new & told
        told |= new
        e, observed = replace(e, status=after), replace(observed, refusal=None)
    raise AssertionError("each look at the same world wants another write")
