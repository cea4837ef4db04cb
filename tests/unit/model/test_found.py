"""What the model test found, each as the plain story of a few calls; the scheduler is not needed for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast
from unittest.mock import patch

import pytest

from models.actions import WakeAt
from models.decide import decide
from models.errors import Conflict
from models.hold import Owner
from models.instants import format_instant
from models.keys import Key
from models.names import ANNOTATION_UID, FINALIZER, LABEL_EXECUTION, LABEL_SOURCE_NAMESPACE
from models.restore import restore
from models.rules.cooldown import rest_until
from models.status import FactType, Phase, Status
from models.target import run_name
from tasks import clock, upkeep
from tasks.adapters import paths
from tasks.parts import Parts
from tasks.passes.ahead import Ahead, look_ahead
from tasks.passes.reconcile import run_pass
from tasks.redis_scripts.queue import Claim
from tests.unit.model.actors import Crashed, Port
from tests.unit.model.room import ModelQueue
from tests.unit.model.world import POLICY, SECOND, World
from tests.unit.rules import builders

KEY = Key("red", "e1")


class Direct:
    """A process whose calls nothing interrupts; `before` is called before each with its label."""

    def __init__(self) -> None:
        self.before: Callable[[str], None] = lambda label: None

    def port(self, name: str, real: Any) -> Any:
        return Port(self, name, real)

    def call(self, label: str, function: Callable[[], Any]) -> Any:
        self.before(label.partition("(")[0])
        return function()


@pytest.fixture
def world() -> Iterator[World]:
    world = World(0)
    yield world
    for actor in world.actors:
        actor.end()


@contextmanager
def ticking(world: World, microseconds: int) -> Iterator[None]:
    """Let every look at the clock take so long."""

    def monotonic() -> float:
        world.time_us += microseconds
        return world.time_us / SECOND

    with patch.object(clock, "monotonic", monotonic):
        yield


def one_pass(world: World, parts: Parts) -> None:
    world.room.running.clear()  # the claim of whoever died at it has ended
    parts.queue.notify([KEY])
    claim = parts.claims.start(KEY)
    assert isinstance(claim, Claim)
    run_pass(KEY, claim.now, POLICY, parts.ports, lambda: 0.0, lambda: parts.claims.confirm(claim))
    parts.queue.done(claim, None)
    parts.claims.end(claim)


def _nothing_ahead(read: Any) -> Any:
    return Ahead if getattr(read, "func", None) is look_ahead else read


def created(world: World) -> None:
    spec = {"targetResource": "Node/c", "workflowRef": {"workflowId": "w", "version": "1", "containerImage": "i"}}
    body = {"metadata": {"name": KEY.name, "finalizers": [FINALIZER]}, "spec": spec}
    world.cluster.create(paths.executions(KEY.namespace), body)
    world.room.epoch = 1
    world.cluster.admit = lambda plural, body: None


def test_cooldown_that_ends_within_a_pass_does_not_free_the_target_of_a_standing_run(world: World) -> None:
    created(world)
    direct: Any = Direct()
    parts = replace(world.build_parts(direct), aside=cast("Any", _nothing_ahead))
    with ticking(world, 1):
        one_pass(world, parts)
        [run] = world.checks.runs()
        ended = {"conditions": [{"type": "Succeeded", "status": "True", "reason": "Succeeded"}]}
        path = paths.pipeline_run(POLICY.namespace, run.name)
        world.cluster.merge_patch(path, {"status": ended}, subresource="status")
        one_pass(world, parts)
    [execution] = world.checks.executions()
    assert execution.status.completed_at is not None
    until = execution.status.completed_at + POLICY.cooldown
    world.time_us += (until - world.now()) // timedelta(microseconds=1) - 1800

    def pass_time(label: str) -> None:
        world.time_us += 400

    direct.before = pass_time
    with ticking(world, 0):
        one_pass(world, parts)
    assert world.now() > until
    assert list(world.room.holds) == ["Node/c"]
    assert [left.uid for left in world.checks.runs()] == [run.uid]


def taken_over(world: World) -> None:
    """Let another worker begin the pass whose claim has ended."""
    ModelQueue(world.room, horizon=timedelta(minutes=1)).start(KEY)


@pytest.mark.parametrize("stop", ["holds.take", "api.get"])
def test_pass_that_outlived_its_claim_creates_nothing(world: World, stop: str) -> None:
    created(world)
    direct: Any = Direct()
    parts = world.build_parts(direct)

    def pause(label: str) -> None:
        if label == stop:
            world.time_us += 7 * SECOND
            taken_over(world)

    direct.before = pause
    with ticking(world, 1), pytest.raises(Conflict, match="claim"):
        one_pass(world, parts)
    assert world.checks.runs() == []


def test_what_a_deleted_orphan_leaves_is_looked_for_by_the_pass_after_a_crash(world: World) -> None:
    created(world)
    ended = format_instant(world.now() - 2 * POLICY.cooldown)
    done = {"conditions": [{"type": "Succeeded", "status": "True"}], "completionTime": ended}
    labels = {LABEL_EXECUTION: "gone", LABEL_SOURCE_NAMESPACE: "red"}
    metadata = {"name": run_name("Node/c"), "labels": labels, "annotations": {ANNOTATION_UID: "uid-gone"}}
    orphan = world.cluster.create(paths.pipeline_runs(POLICY.namespace), {"metadata": metadata, "status": done})
    left = {"name": "left", "labels": {"tekton.dev/pipelineRun": run_name("Node/c")}}
    world.cluster.create(paths.task_runs(POLICY.namespace), {"metadata": left})
    direct: Any = Direct()
    parts = world.build_parts(direct)

    def die(label: str) -> None:
        if label == "api.get" and orphan["metadata"]["uid"] not in [run.uid for run in world.checks.runs()]:
            raise Crashed

    direct.before = die
    with ticking(world, 1), pytest.raises(Crashed):
        one_pass(world, parts)
    assert world.checks.runs() == []
    direct.before = lambda label: None
    with ticking(world, 1):
        one_pass(world, parts)
    assert world.checks.runs() == []


def left_behind(world: World) -> None:
    left = {"name": "left", "labels": {"tekton.dev/pipelineRun": run_name("Node/c")}}
    world.cluster.create(paths.task_runs(POLICY.namespace), {"metadata": left})


def test_what_earlier_runs_left_is_looked_for_after_redis_was_emptied(world: World) -> None:
    created(world)
    left_behind(world)
    world.room.wipe()
    parts = world.build_parts(cast("Any", Direct()))
    upkeep.resync(parts)
    assert world.room.epoch
    with ticking(world, 1):
        one_pass(world, parts)
    assert world.checks.runs() == []


def test_what_a_run_left_that_nobody_recorded_is_looked_for_by_the_next_pass(world: World) -> None:
    created(world)
    direct: Any = Direct()
    parts = world.build_parts(direct)

    def die(label: str) -> None:
        if world.checks.runs():
            raise Crashed

    direct.before = die
    with ticking(world, 1), pytest.raises(Crashed):
        one_pass(world, parts)
    direct.before = lambda label: None
    [run] = world.checks.runs()
    world.cluster.delete(paths.pipeline_run(POLICY.namespace, run.name), uid=run.uid)
    left_behind(world)
    with ticking(world, 1):
        one_pass(world, parts)
    assert world.checks.runs() == []


@pytest.mark.parametrize("action", ["status", "finalizer"])
def test_pass_that_outlived_its_claim_writes_nothing(world: World, action: str) -> None:
    created(world)
    direct: Any = Direct()
    parts = world.build_parts(direct)
    if action == "finalizer":
        [execution] = world.checks.executions()
        world.cluster.delete(paths.execution(KEY), uid=execution.uid)

    def pause(label: str) -> None:
        if label == ("api.create" if action == "status" else "holds.leave"):
            world.time_us += 7 * SECOND
            taken_over(world)

    direct.before = pause
    with ticking(world, 1), pytest.raises(Conflict, match="claim"):
        one_pass(world, parts)
    [left] = world.checks.executions()
    assert (left.status, left.guarded) == (Status(), True)


def test_run_that_came_while_its_phase_was_forced_opens_a_cooldown() -> None:
    forced = builders.execution(Status(phase=Phase.FAILED, attempt=1))
    actions = decide(forced, builders.seen(builders.MINE, run=builders.run()), builders.NOW, policy=builders.POLICY)
    status = builders.status_of(actions)
    assert (status.run_name, status.completed_at) == (builders.run().name, builders.NOW)
    assert rest_until(status, builders.POLICY) == builders.NOW + builders.POLICY.cooldown


def test_forced_end_is_not_dated_by_a_run_of_somebody_else() -> None:
    forced = builders.execution(builders.running(phase=Phase.FAILED))
    theirs = replace(builders.succeeded(), annotations=builders.run(owner="other").annotations)
    actions = decide(forced, builders.seen(builders.MINE, run=theirs), builders.NOW, policy=builders.POLICY)
    assert builders.status_of(actions).completed_at == builders.NOW


def test_resync_wakes_a_holder_that_has_nothing_left_to_do(world: World) -> None:
    created(world)
    done = {"phase": "Completed", "attempt": 1, "completionTime": "2026-05-01T00:00:00Z"}
    world.cluster.merge_patch(paths.execution(KEY), {"status": done}, subresource="status")
    parts = world.build_parts(cast("Any", Direct()))
    [execution] = world.checks.executions()
    parts.holds.take(execution.spec.target, Owner(execution.uid, KEY, execution.created_at))
    upkeep.resync(parts)
    assert str(KEY) in world.room.due
    with ticking(world, 1):
        one_pass(world, parts)
    assert world.room.holds == {}


def test_resync_that_finds_an_orphans_name_taken_goes_on(world: World) -> None:
    created(world)
    taken: Any = world.build_parts(cast("Any", Direct()))
    orphan = replace(builders.run(owner="gone"), uid="run-gone")
    body = {"metadata": {"name": orphan.name}}
    world.cluster.create(paths.pipeline_runs(POLICY.namespace), body)
    upkeep._delete_if_orphaned(taken, orphan)
    assert len(world.checks.runs()) == 1


@pytest.mark.parametrize("status", [builders.running(), Status(attempt=1, failures=1, fence=7)])
def test_forced_end_that_is_not_repaired_yet_keeps_its_target_over_an_emptied_redis(status: Status) -> None:
    forced = builders.execution(replace(status, phase=Phase.FAILED, completed_at=None))
    found = restore([forced], [], builders.NOW, builders.POLICY)
    assert [hold.owner.uid for hold in found.holds] == [forced.uid]


def test_second_wait_in_line_after_a_failed_attempt_is_a_fact_of_its_own() -> None:
    tried = builders.execution(Status(attempt=1, failures=1, next_allowed=builders.NOW, fence=3))
    status = builders.status_of(decide(tried, builders.seen(builders.BUSY), builders.NOW, policy=builders.POLICY))
    assert [(fact.type, fact.attempt) for fact in status.pending_facts] == [(FactType.QUEUED, 2)]


def test_orphan_that_ended_and_rested_is_deleted_by_the_resync() -> None:
    now = builders.NOW
    policy = builders.POLICY
    living = builders.execution(builders.ended())
    gone = replace(builders.succeeded(), uid="run-gone", annotations=builders.run(owner="gone").annotations)
    fresh = replace(gone, uid="run-fresh", ended_at=now)
    alive = replace(builders.run(owner="gone"), uid="run-alive")
    unmarked = replace(gone, uid="run-unmarked", annotations={})
    at = now - timedelta(seconds=1) + policy.cooldown
    found = restore([living], [builders.run(), gone, fresh, alive, unmarked], at, policy)
    assert [run.uid for run in found.orphans] == ["run-gone"]


def test_who_waits_behind_a_running_orphan_looks_for_its_end_himself() -> None:
    orphan = builders.run(owner="gone")
    actions = decide(
        builders.execution(), builders.seen(builders.MINE, run=orphan), builders.NOW, policy=builders.POLICY
    )
    assert isinstance(actions[-1], WakeAt)


def test_pass_that_outlived_its_claim_lets_nobody_vanish(world: World) -> None:
    """Its execution was gone when it asked; one of the same name may have taken the target since."""
    created(world)
    parts = world.build_parts(cast("Any", Direct()))
    [execution] = world.checks.executions()
    parts.holds.take(execution.spec.target, Owner(execution.uid, KEY, execution.created_at))
    del world.cluster.objects["workflowexecutions", KEY.namespace, KEY.name]

    def lost() -> None:
        raise Conflict("another pass of this key may have begun")

    with ticking(world, 1), pytest.raises(Conflict):
        run_pass(KEY, world.now(), POLICY, parts.ports, lambda: 0.0, lost)
    assert list(world.room.holds) == [execution.spec.target]
