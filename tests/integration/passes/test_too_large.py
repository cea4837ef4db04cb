"""An execution so large that no status fits into it: nothing is started for it, and it says so."""

from __future__ import annotations

from typing import Any

import pytest

from models.errors import Permanent
from models.keys import Key
from models.names import API_VERSION, KIND
from models.status import FailureReason, Phase
from tasks.adapters import paths
from tests.integration.passes.conftest import NAMESPACE, World


def test_a_spec_that_leaves_no_room_for_its_end_is_refused_before_anything_starts(world: World) -> None:
    key = world.declare(parameters={"p": "x" * 1_200_000})
    status = world.make_pass(key).status
    assert (status.phase, status.reason) == (Phase.FAILED, "ConfigurationError")
    assert status.failure is not None
    assert status.failure.reason is FailureReason.CONFIGURATION_ERROR
    assert "at most 1048576" in status.failure.message
    assert world.run_of(key) is None
    world.remove(paths.execution(key))
    assert world.parts.executions.get(key) is None, "no finalizer keeps it"


def test_a_large_spec_with_room_enough_runs(world: World) -> None:
    key = world.declare(parameters={"p": "x" * 1_000_000})
    assert world.make_pass(key).status.phase is Phase.RUNNING


def test_an_object_that_takes_no_status_at_all_is_told_once_and_keeps_nobody_busy(
    world: World, redis_client: Any
) -> None:
    key = world.declare(parameters={"p": "x" * _as_large_as_it_gets(world)})
    for _ in range(3):
        world.make_pass(key)
    assert world.read(key).status.phase is Phase.PENDING
    assert world.events_of(key) == ["WorkflowFailed"]
    (event,) = world.cluster.list(paths.kubernetes_events(NAMESPACE), field_selector=f"involvedObject.name={key.name}")
    assert "too large" in event["message"]
    assert int(redis_client.hget("wfe:fails", str(key))) == 3, "tried again with growing delay"
    assert world.run_of(key) is None
    assert world.make_pass(world.declare()).status.phase is Phase.RUNNING
    world.remove(paths.execution(key))
    assert world.parts.executions.get(key) is None, "and whoever made it can delete it"


def _as_large_as_it_gets(world: World) -> int:
    """Find by halving how long a parameter may be for the API server to take the object."""
    fits, fails = 1_500_000, 1_600_000
    while fails - fits > 64:
        middle = (fits + fails) // 2
        body = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": f"probe{middle}", "namespace": NAMESPACE},
            "spec": {
                "remediationRequestRef": {"name": "rr-00"},
                "workflowRef": {"workflowId": "w", "version": "1", "containerImage": "registry.example/w:1"},
                "targetResource": "ns/deployment/t00",
                "parameters": {"p": "x" * middle},
            },
        }
        try:
            world.cluster.create(paths.executions(NAMESPACE), body)
        except Permanent:
            fails = middle
        else:
            world.remove(paths.execution(Key(NAMESPACE, f"probe{middle}")))
            fits = middle
    return fits


@pytest.mark.parametrize("defect", [RuntimeError("no idea"), KeyError("phase")])
def test_a_defect_in_a_pass_is_told_once(world: World, monkeypatch: pytest.MonkeyPatch, defect: Exception) -> None:
    key = world.declare()

    def stumble(*_: Any, **__: Any) -> None:
        raise defect

    monkeypatch.setattr("tasks.passes.reconcile.decide", stumble)
    for _ in range(3):
        world.make_pass(key)
    assert world.events_of(key) == ["WorkflowFailed"]
