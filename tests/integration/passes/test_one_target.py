"""What stands under the run's name when a pass comes to create it: nothing, or one of five."""

from __future__ import annotations

from models.hold import Busy, Free, Mine
from models.names import ANNOTATION_UID
from models.status import ConditionType, Phase, WaitReason
from models.target import run_name
from tasks.adapters import paths
from tasks.reconciling import run_key
from tests.integration.passes.conftest import RUNS, World
from tests.waiting import until


def test_new_execution_gets_its_run_and_says_so(world: World) -> None:
    key = world.declare()
    execution = world.make_pass(key)
    run = world.run_of(key)
    assert run is not None
    assert run.annotations[ANNOTATION_UID] == execution.uid
    assert (execution.status.phase, execution.status.attempt) == (Phase.RUNNING, 1)
    assert execution.status.fence == run.fence
    assert execution.guarded
    assert world.events_of(key) == ["PipelineRunCreated"]


def test_repeated_pass_changes_nothing(world: World) -> None:
    key = world.declare()
    first = world.make_pass(key)
    assert world.make_pass(key).resource_version == first.resource_version
    assert world.events_of(key) == ["PipelineRunCreated"]
    assert len(world.parts.outbox.take(10)) == 1


def test_run_created_by_a_worker_that_died_is_adopted(world: World) -> None:
    key = world.declare()
    left = world.create_run(key)
    execution = world.make_pass(key)
    run = world.run_of(key)
    assert run is not None
    assert run.uid == left.uid
    assert (execution.status.phase, execution.status.attempt) == (Phase.RUNNING, 1)


def test_own_run_on_its_way_out_is_waited_for(world: World) -> None:
    key = world.declare()
    left = world.create_run(key)
    path = paths.pipeline_run(RUNS, left.name)
    world.cluster.merge_patch(path, {"metadata": {"finalizers": ["test.example/keep"]}})
    world.cluster.delete(path, uid=left.uid)
    assert world.make_pass(key).status.phase is Phase.PENDING
    world.cluster.merge_patch(path, {"metadata": {"finalizers": None}})
    assert world.make_pass(key).status.phase is Phase.RUNNING
    run = world.run_of(key)
    assert run is not None
    assert run.uid != left.uid


def test_run_of_another_living_execution_gives_it_the_hold(world: World) -> None:
    first = world.declare()
    target = world.read(first).spec.target
    world.create_run(first)
    second = world.declare(target)
    execution = world.make_pass(second)
    assert (execution.status.phase, execution.status.reason) == (Phase.PENDING, WaitReason.TARGET_BUSY)
    assert isinstance(world.parts.holds.look(target, world.read(first).uid), Mine)
    assert isinstance(world.parts.holds.look(target, execution.uid), Busy)
    assert world.make_pass(first).status.phase is Phase.RUNNING


def test_orphan_ends_and_cools_down_and_is_deleted(world: World) -> None:
    gone = world.declare()
    target = world.read(gone).spec.target
    orphan = world.create_run(gone)
    world.cluster.delete(paths.execution(gone), uid=world.read(gone).uid)
    key = world.declare(target)
    assert world.make_pass(key).status.reason == WaitReason.TARGET_BUSY
    world.end_run(key, succeeded=True, reason="Succeeded")
    until(lambda: world.make_pass(key).status.phase is Phase.RUNNING, 60, "the orphan is replaced")
    run = world.run_of(key)
    assert run is not None
    assert run.uid != orphan.uid


def test_foreign_run_stays_and_fails_the_execution(world: World) -> None:
    key = world.declare()
    foreign = world.create_run(key, uid="")
    execution = world.make_pass(key)
    assert execution.status.failure is not None
    assert f"PipelineRun {foreign.name} already exists" in execution.status.failure.message
    assert "Race condition" in execution.status.failure.message
    run = world.run_of(key)
    assert run is not None
    assert run.uid == foreign.uid
    world.make_pass(key)
    assert not world.parts.holds.all()


def test_task_run_left_by_an_earlier_run_is_not_taken_for_our_own(world: World) -> None:
    """Whoever had the target vanished without releasing it, so that nobody has looked what its run left."""
    gone = world.declare()
    earlier = world.make_pass(gone)
    target = earlier.spec.target
    path = world.leave_task_run(run_name(target))
    world.remove(paths.pipeline_run(RUNS, run_name(target)))
    world.cluster.merge_patch(paths.execution(gone), {"metadata": {"finalizers": None}})
    world.cluster.delete(paths.execution(gone), uid=earlier.uid)
    key = world.declare(target)
    waiting = world.make_pass(key)
    assert (waiting.status.phase, waiting.status.reason) == (Phase.PENDING, WaitReason.TARGET_BUSY)
    assert world.run_of(key) is None
    world.remove(path)
    assert world.make_pass(key).status.phase is Phase.RUNNING


def test_target_is_not_released_while_a_task_run_is_left(world: World) -> None:
    key = world.declare()
    world.make_pass(key)
    target = world.read(key).spec.target
    path = world.leave_task_run(run_name(target))
    world.end_run(key, succeeded=True, reason="Succeeded")
    uid = world.make_pass(key).uid
    assert world.read(key).status.phase is Phase.COMPLETED

    def cooled_down() -> bool:
        world.make_pass(key)
        return world.run_of(key) is None

    until(cooled_down, 60, "the cooldown ends and its run is deleted")
    world.make_pass(key)
    assert isinstance(world.parts.holds.look(target, uid), Mine)
    world.remove(path)
    world.make_pass(key)
    assert isinstance(world.parts.holds.look(target, uid), Free)


def test_second_of_one_target_waits_in_line_and_starts_when_it_is_free(world: World) -> None:
    first = world.declare()
    target = world.read(first).spec.target
    world.make_pass(first)
    # A line is ordered by (creation in whole seconds, uid), not by who comes first.
    pair = (world.declare(target), world.declare(target))
    second, third = sorted(pair, key=lambda key: (world.read(key).created_at, world.read(key).uid))
    assert world.make_pass(second).status.reason == WaitReason.TARGET_BUSY
    third_status = world.make_pass(third).status
    assert third_status.queue is not None
    assert (third_status.queue.position, third_status.queue.holder) == (2, str(first))
    with world.long_cooldown():
        world.end_run(first, succeeded=True, reason="Succeeded")
        ended = world.make_pass(first)
        assert ended.status.phase is Phase.COMPLETED
        assert world.make_pass(second).status.reason == WaitReason.RECENTLY_REMEDIATED
    assert ended.status.completed_at is not None

    def released() -> bool:
        world.make_pass(first)
        return not isinstance(world.parts.holds.look(target, ended.uid), Mine)

    until(released, 60, "the cooldown ends")
    assert world.parts.queue.now() >= ended.status.completed_at + world.parts.policy.cooldown
    assert "LockReleased" in world.events_of(first)
    started = world.make_pass(second).status
    assert started.phase is Phase.RUNNING
    assert started.condition(ConditionType.LOCKED) is None
    moved_up = world.make_pass(third).status
    assert moved_up.queue is not None
    assert (moved_up.queue.position, moved_up.queue.holder) == (1, str(second))


def test_deletion_leaves_nothing_behind(world: World) -> None:
    key = world.declare()
    execution = world.make_pass(key)
    world.cluster.delete(paths.execution(key), uid=execution.uid)
    world.parts.outbox.acknowledge(world.parts.outbox.take(10))
    world.parts.queue.notify([key])
    run_key(key, world.parts)
    assert world.parts.executions.get(key) is None
    assert world.parts.runs.get(run_name(execution.spec.target), execution.spec.engine) is None
    assert not world.parts.holds.all()
    assert "WorkflowExecutionDeleted" in world.events_of(key)
