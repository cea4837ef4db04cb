"""A freeze, pass by pass: who waits, who does not, and the audit of the freeze itself, exactly once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from models.errors import Conflict
from models.freeze import FREEZE_AUDITED, FREEZE_FINALIZER, FREEZE_NAME, freeze_document, unfreeze_patch
from models.hold import Mine
from models.status import Phase, WaitReason
from tasks import clock
from tasks.adapters import paths
from tasks.adapters.cluster_errors import AlreadyExists
from tasks.config import DEFAULT_NAMESPACE
from tasks.freezing import tend_freeze
from tests.integration.passes.conftest import World
from tests.waiting import until

PATH = paths.config_map(DEFAULT_NAMESPACE, FREEZE_NAME)


@pytest.fixture
def frozen(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Freeze as `wfe freeze` does; the object is gone after the test."""
    monkeypatch.delenv("POD_NAMESPACE", raising=False)
    with contextlib.suppress(AlreadyExists):
        world.cluster.create("/api/v1/namespaces", {"metadata": {"name": DEFAULT_NAMESPACE}})
    freeze(world)
    yield world
    if world.cluster.get(PATH) is not None:
        world.cluster.merge_patch(PATH, {"metadata": {"finalizers": None}})
        if world.cluster.get(PATH) is not None:
            world.remove(PATH)


def freeze(world: World, **metadata: Any) -> None:
    document = freeze_document("migration", "alice", DEFAULT_NAMESPACE)
    document["metadata"] |= metadata
    world.cluster.create(paths.config_maps(DEFAULT_NAMESPACE), document)


def buffered(world: World) -> list[tuple[str, str]]:
    """Return what is in the outbox of the freeze: type and actor."""
    import json

    items = [item for item in world.parts.outbox.take(100) if item.key == world.parts.freeze.key]
    bodies = [json.loads(item.body) for item in items]
    return [(body["event_type"], body["actor_id"]) for body in bodies]


def acknowledge(world: World) -> None:
    world.parts.outbox.acknowledge(world.parts.outbox.take(100))


def test_nothing_starts_and_then_it_goes_on(frozen: World) -> None:
    key = frozen.declare()
    status = frozen.make_pass(key).status
    assert (status.phase, status.reason, frozen.run_of(key)) == (Phase.PENDING, WaitReason.FROZEN, None)
    execution = frozen.read(key)
    assert isinstance(frozen.parts.holds.look(execution.spec.target, execution.uid), Mine)
    version = execution.resource_version
    assert frozen.make_pass(key).resource_version == version, "said once"
    frozen.remove(PATH)
    until(lambda: frozen.make_pass(key).status.phase is Phase.RUNNING, 60, "the end of the freeze is seen")
    assert frozen.read(key).status.reason == ""


def test_both_acts_are_audited_once_and_the_object_goes_with_the_second(frozen: World) -> None:
    parts = frozen.parts
    for _ in range(3):
        assert tend_freeze(clock.now(), parts) is not None
    assert buffered(frozen) == [("workflow.frozen", "unverified:alice")]
    acknowledge(frozen)
    assert tend_freeze(clock.now(), parts) is None
    document = parts.freeze.read()
    assert document is not None
    assert FREEZE_AUDITED in document["metadata"]["annotations"]
    assert tend_freeze(clock.now(), parts) is None
    frozen.cluster.merge_patch(PATH, unfreeze_patch("bob"))
    frozen.remove(PATH)
    for _ in range(3):
        assert tend_freeze(clock.now(), parts) is not None
    assert buffered(frozen) == [("workflow.unfrozen", "unverified:bob")]
    acknowledge(frozen)
    assert tend_freeze(clock.now(), parts) is None
    assert frozen.cluster.get(PATH) is None


def test_an_ended_freeze_waits_for_datastorage_no_longer_than_half_a_minute(frozen: World) -> None:
    frozen.remove(PATH)
    assert tend_freeze(clock.now(), frozen.parts) is not None
    assert [kind for kind, _ in buffered(frozen)] == ["workflow.frozen", "workflow.unfrozen"]
    assert tend_freeze(clock.now() + timedelta(seconds=31), frozen.parts) is None
    assert frozen.cluster.get(PATH) is None


def test_a_freeze_made_by_hand_is_guarded(frozen: World) -> None:
    frozen.cluster.merge_patch(PATH, {"metadata": {"finalizers": None, "annotations": None}})
    tend_freeze(clock.now(), frozen.parts)
    document = frozen.parts.freeze.read()
    assert document is not None
    assert document["metadata"]["finalizers"] == [FREEZE_FINALIZER]
    assert buffered(frozen) == [("workflow.frozen", "unverified:unknown")]


def test_the_freeze_has_a_pass_of_its_own(frozen: World) -> None:
    from tasks.reconciling import run_key

    frozen.parts.queue.notify([frozen.parts.freeze.key])
    run_key(frozen.parts.freeze.key, frozen.parts)
    assert [kind for kind, _ in buffered(frozen)] == ["workflow.frozen"]


def test_an_object_that_changed_meanwhile_is_looked_at_again(frozen: World) -> None:
    document = frozen.parts.freeze.read()
    assert document is not None
    frozen.cluster.merge_patch(PATH, {"data": {"reason": "another"}})
    with pytest.raises(Conflict):
        frozen.parts.freeze.note_audited(document)
