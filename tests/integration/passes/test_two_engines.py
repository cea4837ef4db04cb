"""Two kinds of run under one name, on the real API server: each engine's execution sees the other's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from models.manifest import run_manifest
from models.status import Phase
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from tests.integration.passes.conftest import RUNS, World

JOB = {"workflowId": "w", "version": "1", "containerImage": "registry.example/w:1", "executionEngine": "job"}
TEKTON = {**JOB, "executionEngine": "tekton"}
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@pytest.fixture(autouse=True)
def no_jobs_left(world: World) -> Iterator[None]:
    yield
    for document in list(world.cluster.list(paths.jobs(RUNS))):
        metadata = document["metadata"]
        world.cluster.delete(paths.job(RUNS, metadata["name"]), uid=metadata["uid"])


@pytest.mark.parametrize(("mine", "theirs", "kind"), [(TEKTON, JOB, "Job"), (JOB, TEKTON, "PipelineRun")])
def test_foreign_run_of_the_other_kind_is_not_run_beside(
    world: World, mine: dict[str, str], theirs: dict[str, str], kind: str
) -> None:
    target = f"ns/deployment/two-{kind.lower()}"
    foreign = world.create_run(world.declare(target, workflowRef=theirs), uid="")
    status = world.make_pass(world.declare(target, workflowRef=mine)).status
    assert status.phase is Phase.FAILED
    assert status.failure is not None
    assert f"Race condition: PipelineRun {foreign.name} already exists" in status.failure.message
    assert kind in status.failure.message
    found = world.parts.runs.get(foreign.name, foreign.engine)
    assert found is not None
    assert found.uid == foreign.uid
    assert world.parts.runs.get(foreign.name, foreign.engine.other) is None


def test_job_is_created_followed_by_its_uid_and_deleted(world: World) -> None:
    key = world.declare(workflowRef=JOB)
    assert world.make_pass(key).status.phase is Phase.RUNNING
    run = world.run_of(key)
    assert run is not None
    assert [found.uid for found in world.parts.runs.all()] == [run.uid]
    world.cluster.delete(paths.job(RUNS, run.name), uid=run.uid)
    failure = world.make_pass(key).status.failure
    assert failure is not None
    assert failure.message == f"Job {run.name} was deleted externally"


def test_pod_of_a_job_passes_the_restricted_standard(world: World, prepared: Cluster) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "restricted", "labels": RESTRICTED}}
    prepared.create("/api/v1/namespaces", namespace)
    template = run_manifest(world.read(world.declare(workflowRef=JOB)), 1, 1, world.parts.policy)["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": {**template["metadata"], "name": "p"}}
    prepared.create(paths.pods("restricted"), pod)
