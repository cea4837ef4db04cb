"""Asks of every kind at once, at every stage, in odd words: each comes to an end on the real API server."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, combinations
from typing import Any

import pytest

from models.audit import pending_events
from models.execution import Execution
from models.keys import Key
from models.names import ASK_CANCEL, ASK_CLEAR, ASK_UNLOCK, REQUESTED_BY
from models.status import Phase
from models.target import run_name
from tasks.adapters import paths
from tasks.reconciling import run_key
from tests.integration.passes.conftest import World
from tests.waiting import until

ODD = ["línea\n\tzwei\r\n\x1b[2J\u202e", "ü" * 4096, "x" * 20_000, "日本\U0001f600 " * 400, "nul\x00nul"]
DELETE, BARE = "delete", "take its finalizer"
THINGS = (ASK_CANCEL, ASK_CLEAR, ASK_UNLOCK, DELETE, BARE)
MIXES = list(chain.from_iterable(combinations(THINGS, size) for size in (1, 2, 3, 5)))


def new(world: World) -> Key:
    return world.declare()


def running(world: World) -> Key:
    key = world.declare()
    assert world.make_pass(key).status.phase is Phase.RUNNING
    return key


def backing_off(world: World) -> Key:
    key = running(world)
    world.end_run(key, succeeded=False, reason="CouldntGetPipeline")
    assert world.make_pass(key).attempt_failed
    return key


def blocking(world: World) -> Key:
    key = running(world)
    world.end_run(key, succeeded=False, reason="Failed")
    assert world.make_pass(key).status.phase is Phase.FAILED
    return key


def resting(world: World) -> Key:
    key = running(world)
    world.end_run(key, succeeded=True, reason="Succeeded")
    assert world.make_pass(key).status.phase is Phase.COMPLETED
    return key


def annotate(world: World, key: Key, **annotations: str) -> None:
    world.cluster.merge_patch(paths.execution(key), {"metadata": {"annotations": annotations}})


def step(world: World, key: Key) -> Execution | None:
    world.parts.queue.notify([key])
    run_key(key, world.parts)
    return world.parts.executions.get(key)


@pytest.mark.parametrize("stage", [new, running, backing_off, blocking, resting])
def test_every_mix_of_asks_comes_to_an_end_and_frees_the_target(world: World, stage: Callable[[World], Key]) -> None:
    for mix in MIXES:
        key = stage(world)
        before = world.read(key)
        _ask_for(world, key, mix)
        fails = _settle(world, key, ends=bool({ASK_CANCEL, DELETE} & set(mix)) or stage in (blocking, resting))
        left = world.parts.executions.get(key)
        assert not fails, (stage.__name__, mix, fails)
        assert left is None or DELETE not in mix, (stage.__name__, mix)
        if left is not None:
            _leave(world, key)
        assert before.uid not in {held.uid for held in world.parts.holds.all()}, (stage.__name__, mix)
        run = world.parts.runs.get(run_name(before.spec.target), before.spec.engine)
        assert run is None or {DELETE, BARE} <= set(mix), (stage.__name__, mix)


def _ask_for(world: World, key: Key, mix: tuple[str, ...]) -> None:
    asks = {thing: "looked at" for thing in mix if thing.startswith("kubernaut.ai/")}
    annotate(world, key, **asks, **{REQUESTED_BY: "ann"})
    if BARE in mix:
        world.cluster.merge_patch(paths.execution(key), {"metadata": {"finalizers": None}})
    if DELETE in mix:
        world.cluster.delete(paths.execution(key), uid=world.read(key).uid)


def _settle(world: World, key: Key, *, ends: bool) -> list[str]:
    """Make passes until nothing is left to do for these asks; return what went wrong."""
    for _ in range(14):
        execution = step(world, key)
        if execution is None:
            step(world, key)
            return []
        if execution.status.pending_facts:
            world.parts.outbox.acknowledge(world.parts.outbox.take(100))
        run = world.run_of(key)
        if run is not None and run.cancelling and run.succeeded is None:
            world.end_run(key, succeeded=False, reason="CancelledRunFinally")
        if execution.status.phase.terminal and execution.deleted_at is None and not execution.status.pending_facts:
            return []
    return [] if not ends else ["it never ended"]


def _leave(world: World, key: Key) -> None:
    execution = world.read(key)
    if execution.deleted_at is None:
        world.cluster.delete(paths.execution(key), uid=execution.uid)

    def gone() -> bool:
        world.parts.outbox.acknowledge(world.parts.outbox.take(100))
        return step(world, key) is None

    until(gone, 60, f"{key} is gone")
    step(world, key)


@pytest.mark.parametrize("reason", ODD)
@pytest.mark.parametrize(
    ("stage", "ask"), [(new, ASK_CANCEL), (running, ASK_CANCEL), (blocking, ASK_CLEAR), (resting, ASK_UNLOCK)]
)
def test_odd_words_are_recorded_told_and_audited(
    world: World, stage: Callable[[World], Key], ask: str, reason: str
) -> None:
    key = stage(world)
    annotate(world, key, **{ask: reason, REQUESTED_BY: reason})
    status = world.make_pass(key).status
    told: Any = {ASK_CANCEL: status.cancellation, ASK_CLEAR: status.clearance, ASK_UNLOCK: status.unlock}[ask]
    assert told is not None
    assert told.reason == reason.strip()[:1024]
    event = {ASK_CANCEL: "Cancelled", ASK_CLEAR: "BlockCleared", ASK_UNLOCK: ""}[ask]
    assert event in ["", *world.events_of(key)]
    assert pending_events(world.read(key))
