"""Cancel, pass by pass, on a real API server: in line, before the run, during it, and a run that does not answer."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from models.keys import Key
from models.names import ASK_CANCEL, REQUESTED_BY
from models.status import FactType, FailureReason, Phase
from models.target import run_name
from tasks.adapters import paths
from tests.integration.passes.conftest import RUNS, World

MESSAGE = "cancelled by unverified:alice: wrong cluster"


def ask(world: World, key: Key) -> None:
    annotations = {ASK_CANCEL: "wrong cluster", REQUESTED_BY: "alice"}
    world.cluster.merge_patch(paths.execution(key), {"metadata": {"annotations": annotations}})


def facts(world: World, key: Key) -> list[FactType]:
    return [fact.type for fact in world.read(key).status.pending_facts]


def test_in_line_it_ends_at_once_and_leaves(world: World) -> None:
    first, second = world.declare("ns/deployment/line"), world.declare("ns/deployment/line")
    world.make_pass(first)
    assert world.make_pass(second).status.queue is not None
    ask(world, second)
    status = world.make_pass(second).status
    assert (status.phase, status.queue, status.failure and status.failure.message) == (Phase.FAILED, None, MESSAGE)
    assert facts(world, second) == [FactType.QUEUED, FactType.CANCELLED, FactType.FAILED]
    world.make_pass(second)
    assert world.parts.holds.line("ns/deployment/line") == []
    assert world.run_of(first) is not None
    assert {"Cancelled", "WorkflowFailed"} <= set(world.events_of(second))


def test_a_run_that_a_pass_left_behind_is_taken_and_then_cancelled(world: World) -> None:
    key = world.declare()
    world.make_pass(key)
    made = world.run_of(key)
    assert made is not None
    # The pass died before it wrote: nothing in the status tells of the run.
    forgotten = dict.fromkeys(("phase", "pipelineRunRef", "startTime", "lock", "attempt", "conditions", "audit"))
    world.cluster.merge_patch(paths.execution(key), {"status": forgotten}, subresource="status")
    ask(world, key)
    assert world.make_pass(key).status.phase is Phase.RUNNING
    assert world.make_pass(key).status.cancellation is not None
    world.make_pass(key)
    run = world.run_of(key)
    assert run is not None
    assert run.uid == made.uid
    assert run.cancelling


def test_a_running_one_is_asked_to_end_gently_and_ends_when_it_has(world: World) -> None:
    key = world.declare()
    world.make_pass(key)
    ask(world, key)
    asked = world.make_pass(key).status
    assert asked.phase is Phase.RUNNING
    assert asked.cancellation is not None
    assert (asked.cancellation.by, asked.cancellation.reason) == ("unverified:alice", "wrong cluster")
    world.make_pass(key)
    document = world.cluster.get(paths.pipeline_run(RUNS, run_name(world.read(key).spec.target)))
    assert document is not None
    assert document["spec"]["status"] == "CancelledRunFinally"
    assert world.make_pass(key).status.phase is Phase.RUNNING
    world.end_run(key, succeeded=False, reason="Cancelled")
    status = world.make_pass(key).status
    assert status.phase is Phase.FAILED
    assert status.failure is not None
    assert (status.failure.reason, status.failure.message) == (FailureReason.UNKNOWN, MESSAGE)
    assert status.failure.started is False, "no pipeline was ever resolved"
    told = facts(world, key)
    assert sorted(told) == sorted([FactType.STARTED, FactType.CANCELLED, FactType.FAILED])
    assert world.events_of(key).count("Cancelled") == 1
    assert world.run_of(key) is not None, "the run stays for the cooldown"


def test_a_run_that_does_not_end_is_deleted(world: World) -> None:
    hasty = replace(world.parts, policy=replace(world.parts.policy, cancel_timeout=world.parts.policy.cooldown * 0))
    world.parts = hasty
    key = world.declare()
    world.make_pass(key)
    run = world.run_of(key)
    assert run is not None
    world.leave_task_run(run.name)
    ask(world, key)
    world.make_pass(key)
    status = world.make_pass(key).status
    while status.phase is Phase.RUNNING:  # instants of the status are rounded up to the next second
        status = world.make_pass(key).status
    assert status.failure is not None
    assert status.failure.message == MESSAGE
    assert status.failure.started is False, "its TaskRun had no step that ran"
    assert world.run_of(key) is None
    world.remove(paths.task_run(RUNS, f"{run.name}-act"))


def test_a_run_that_tekton_never_touched_had_not_begun(world: World) -> None:
    world.parts = replace(world.parts, policy=replace(world.parts.policy, cancel_timeout=timedelta()))
    key = world.declare()
    world.make_pass(key)
    ask(world, key)
    world.make_pass(key)
    status = world.make_pass(key).status
    while status.phase is Phase.RUNNING:  # instants of the status are rounded up to the next second
        status = world.make_pass(key).status
    assert status.failure is not None
    assert status.failure.started is False
    assert world.run_of(key) is None


def test_one_that_succeeded_just_before_has_completed(world: World) -> None:
    key = world.declare()
    world.make_pass(key)
    ask(world, key)
    world.make_pass(key)
    world.end_run(key, succeeded=True, reason="Succeeded")
    assert world.make_pass(key).status.phase is Phase.COMPLETED
    assert facts(world, key).count(FactType.CANCELLED) == 1


def test_on_an_ended_one_it_does_nothing(world: World) -> None:
    key = world.declare()
    world.make_pass(key)
    world.end_run(key, succeeded=True, reason="Succeeded")
    before = world.make_pass(key).status
    ask(world, key)
    after = world.make_pass(key).status
    assert (after.phase, after.cancellation, after.pending_facts) == (before.phase, None, before.pending_facts)
