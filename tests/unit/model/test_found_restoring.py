"""Redis came back empty: what was found about restorations that take long, die, or miss what a run may still leave."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast
from unittest.mock import patch

import pytest

from models.actions import ReleaseTarget
from models.decide import decide
from models.errors import Transient
from models.names import ANNOTATION_ATTEMPT, ANNOTATION_UID, LABEL_EXECUTION, LABEL_SOURCE_NAMESPACE
from models.status import ConditionType, Phase
from models.target import run_name
from tasks import clock, upkeep
from tasks.adapters import paths
from tasks.parts import Parts
from tasks.redis_scripts.hold import RESTORER_LIVES
from tests.unit.model.test_found import KEY, Direct, created, one_pass, ticking
from tests.unit.model.world import POLICY, SECOND, World
from tests.unit.rules import builders


@pytest.fixture
def world() -> Iterator[World]:
    world = World(0)
    with patch.object(clock, "monotonic", lambda: world.time_us / SECOND):
        yield world
    for actor in world.actors:
        actor.end()


@pytest.fixture
def parts(world: World) -> Parts:
    return world.build_parts(cast("Any", Direct()))


def resyncs_asked(world: World) -> int:
    asked = [message for message in world.messages if message.task == "workflowexecution.resync"]
    world.messages.clear()
    return len(asked)


def test_restoration_that_takes_longer_than_the_pause_between_sweeps_comes_to_its_end(
    world: World, parts: Parts
) -> None:
    created(world)
    world.room.wipe()
    upkeep.sweep(parts)
    assert resyncs_asked(world) == 1
    restoration = parts.holds.begin_restore()
    assert restoration is not None
    for _ in range(30):
        world.time_us += 2 * SECOND
        upkeep.sweep(parts)
        upkeep.resync(parts)  # a change of leader, or a tick, meanwhile
        assert parts.holds.attend(restoration)
    assert (resyncs_asked(world), parts.holds.gate_open()) == (0, False)
    assert str(KEY) in world.room.due, "who finds another restoring wakes everybody all the same"
    assert parts.holds.open_gate(restoration)


def test_restoration_that_died_is_begun_anew(world: World, parts: Parts) -> None:
    world.room.wipe()
    died = parts.holds.begin_restore()
    world.time_us += 7 * SECOND
    upkeep.sweep(parts)
    assert resyncs_asked(world) == 1
    upkeep.resync(parts)
    assert parts.holds.gate_open()
    assert died is not None
    assert not parts.holds.attend(died)


def test_restoration_that_failed_is_begun_anew_at_once(world: World, parts: Parts) -> None:
    world.room.wipe()
    with patch.object(world.cluster, "list", side_effect=Transient("away")), pytest.raises(Transient):
        upkeep.resync(parts)
    upkeep.sweep(parts)
    assert resyncs_asked(world) == 1


def test_restoration_says_that_it_lives_however_much_it_writes(world: World, parts: Parts) -> None:
    created(world)
    world.room.wipe()
    slow: Any = Direct()
    parts = world.build_parts(slow)
    steps = 0

    def late(label: str) -> None:
        nonlocal steps
        steps += 1
        world.time_us += SECOND

    slow.before = late
    with patch.object(upkeep, "SIGN_OF_LIFE", 1.0):
        upkeep.resync(parts)
    assert parts.holds.gate_open()
    assert steps > 2 * RESTORER_LIVES.total_seconds()


def orphan(world: World) -> None:
    labels = {LABEL_EXECUTION: "gone", LABEL_SOURCE_NAMESPACE: "red"}
    metadata = {"name": run_name("Node/c"), "labels": labels, "annotations": {ANNOTATION_UID: "uid-gone"}}
    world.cluster.create(paths.pipeline_runs(POLICY.namespace), {"metadata": metadata, "status": {}})


def test_run_that_nobody_holds_for_makes_its_target_suspect(world: World, parts: Parts) -> None:
    """It may be gone, and its TaskRuns may not, before the next one comes to take the target."""
    orphan(world)
    world.room.wipe()
    upkeep.resync(parts)
    assert world.room.suspects == {run_name("Node/c")}


@pytest.mark.parametrize("leaving", [False, True])
def test_target_is_not_released_as_clean_while_the_run_of_somebody_else_has_its_name(leaving: bool) -> None:
    status = replace(builders.ended(Phase.FAILED), run_name="", completed_at=builders.BORN)
    deleted = builders.NOW if leaving else None
    execution = builders.execution(status, deleted_at=deleted)
    for run, clean in ((builders.run(annotations={}), False), (None, True)):
        seen = builders.seen(builders.MINE, run=run)
        actions = decide(execution, seen, builders.NOW + POLICY.cooldown, policy=builders.POLICY)
        assert [action.clean for action in actions if isinstance(action, ReleaseTarget)] == [clean]


def test_run_whose_creator_died_is_adopted_although_its_task_has_begun(world: World, parts: Parts) -> None:
    created(world)
    direct: Any = Direct()
    dying = world.build_parts(direct)

    def die(label: str) -> None:
        if label == "api.merge_patch" and world.checks.runs():
            raise Transient("away")

    direct.before = die
    with ticking(world, 1), pytest.raises(Transient):
        one_pass(world, dying)
    [run] = world.checks.runs()
    assert run.annotations[ANNOTATION_ATTEMPT] == "1"
    begun = {"name": "begun", "labels": {"tekton.dev/pipelineRun": run.name}}
    world.cluster.create(paths.task_runs(POLICY.namespace), {"metadata": begun})
    with ticking(world, 1):
        one_pass(world, parts)
    [execution] = world.checks.executions()
    assert execution.status.phase is Phase.RUNNING
    assert execution.status.condition(ConditionType.LOCKED) is None
