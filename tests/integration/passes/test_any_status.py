"""Whatever somebody else writes into a status: the execution is still read, and so are all others."""

from __future__ import annotations

from typing import Any

import pytest

from models.names import FINALIZER
from models.status import Phase
from tasks.adapters import paths
from tasks.upkeep import resync
from tests.integration.passes.conftest import RUNS, World

FAR = "9999-12-31T23:59:59-01:00"
LONG_AGO = "0000-01-01T00:00:00Z"
CONDITION = {"type": "Odd", "status": "True", "reason": "X", "message": "", "lastTransitionTime": LONG_AGO}


@pytest.mark.parametrize(
    "status",
    [
        {"phase": "Failed", "attempt": 1, "completionTime": FAR},
        {"phase": "Running", "attempt": 2_147_483_647, "consecutiveFailures": 2_147_483_647},
        {"phase": "Pending", "attempt": 0, "consecutiveFailures": -5, "nextAllowedExecution": FAR},
        {"phase": "Running", "lock": {"fence": 2**63 - 1}, "pipelineRunRef": {"name": "x" * 300}},
        {"conditions": [CONDITION], "audit": {"pending": [{"type": "nonsense", "attempt": -7, "at": FAR}]}},
        {"queue": {"position": -1, "holder": "", "since": FAR}},
    ],
)
def test_status_that_the_crd_takes_breaks_nothing(world: World, redis_client: Any, status: dict[str, Any]) -> None:
    key = world.declare()
    patch = {"metadata": {"finalizers": [FINALIZER]}}
    world.cluster.merge_patch(paths.execution(key), patch)
    world.cluster.merge_patch(paths.execution(key), {"status": status}, subresource="status")
    redis_client.flushall()
    resync(world.parts)
    for _ in range(3):
        world.make_pass(key)
        assert not _failures(redis_client), "the pass did not get through"


def test_run_with_a_status_of_nonsense_does_not_keep_redis_from_being_restored(world: World, redis_client: Any) -> None:
    spoilt, other = world.declare(), world.declare()
    for key in (spoilt, other):
        assert world.make_pass(key).status.phase is Phase.RUNNING
    run = world.run_of(spoilt)
    assert run is not None
    nonsense = {"status": {"pipelineSpec": "nonsense"}}
    world.cluster.merge_patch(paths.pipeline_run(RUNS, run.name), nonsense, subresource="status")
    redis_client.flushall()
    resync(world.parts)
    assert world.parts.holds.gate_open()
    assert world.read(other).uid in {hold.uid for hold in world.parts.holds.all()}


def _failures(redis_client: Any) -> Any:
    return redis_client.hgetall("wfe:fails")
