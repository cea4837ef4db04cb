"""Kubernetes Events of a fact: told at least once whatever dies, never twice; a refused clean-up says so."""

from __future__ import annotations

from typing import Any

import pytest

from models.errors import Permanent, Transient
from tasks.adapters import paths
from tests.integration.passes.conftest import World


class Died(BaseException):
    """What no handler of ours catches: the process is gone."""


def test_a_pass_that_dies_before_its_event_leaves_it_to_the_next(
    world: World, redis_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = world.declare()

    def die(*_: Any) -> None:
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(type(world.parts.executions), "emit", die)
        with pytest.raises(Died):
            world.make_pass(key)
    assert world.read(key).status.phase == "Running"
    assert world.events_of(key) == []
    redis_client.zrem("wfe:running", str(key))  # as when its claim has run out
    world.make_pass(key)
    assert world.events_of(key) == ["PipelineRunCreated"]
    world.make_pass(key)
    assert world.events_of(key) == ["PipelineRunCreated"]


def test_redis_emptied_tells_nothing_twice(world: World, redis_client: Any) -> None:
    key = world.declare()
    world.make_pass(key)
    world.end_run(key, succeeded=True, reason="Succeeded")
    world.make_pass(key)
    told = world.events_of(key)
    assert told == ["PipelineRunCreated", "WorkflowCompleted"]
    redis_client.flushall()
    world.make_pass(key)
    assert world.events_of(key) == told


def test_an_event_refused_once_is_tried_again_in_the_same_pass(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    key = world.declare()
    emit, calls = type(world.parts.executions).emit, []

    def stumble(*given: Any) -> None:
        calls.append(given)
        if len(calls) == 1:
            raise Transient("the API server stumbled")
        emit(*given)

    monkeypatch.setattr(type(world.parts.executions), "emit", stumble)
    world.make_pass(key)
    assert world.events_of(key) == ["PipelineRunCreated"]


def test_a_refused_clean_up_is_told_once_and_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    key = world.declare()
    world.make_pass(key)

    def refuse(*_: Any) -> None:
        raise Permanent('pipelineruns is forbidden: cannot delete resource "pipelineruns"', "Forbidden")

    world.remove(paths.execution(key))
    with monkeypatch.context() as patched:
        patched.setattr(type(world.parts.runs), "delete", refuse)
        for _ in range(3):
            world.make_pass(key)
    assert world.events_of(key) == ["CleanupFailed", "PipelineRunCreated"]
    assert world.run_of(key) is not None


def test_a_clean_success_tries_no_event_twice(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    emit, told = type(world.parts.executions).emit, []

    def note(executions: Any, execution: Any, event: Any, now: Any) -> None:
        told.append(event.reason.value)
        emit(executions, execution, event, now)

    monkeypatch.setattr(type(world.parts.executions), "emit", note)
    key = world.declare()
    world.make_pass(key)
    world.make_pass(key)
    with world.long_cooldown():
        world.end_run(key, succeeded=True, reason="Succeeded")
        world.make_pass(key)
        world.make_pass(key)
    assert told == ["PipelineRunCreated", "WorkflowCompleted"]
