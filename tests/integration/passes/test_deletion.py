"""A deletion never sticks: Tekton's types gone, the execution namespace gone, in line, Redis away and back."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from devcluster import builds, manifests
from devcluster.cluster import Cluster as LocalCluster
from models.errors import Transient
from models.execution import Engine
from models.hold import Mine
from models.keys import Key
from models.status import Phase
from models.target import run_name
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from tasks.adapters.cluster_errors import ResourceAbsent
from tasks.adapters.engines import ClusterRuns
from tasks.metrics import SERVICE
from tasks.passes.reconcile import run_pass
from tasks.reconciling import run_key
from tasks.upkeep import resync
from tests.integration.passes.conftest import World
from tests.waiting import until

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NAMESPACES = "/api/v1/namespaces"


def delete(world: World, key: Key) -> None:
    world.cluster.delete(paths.execution(key), uid=world.read(key).uid)


def leaves(world: World, key: Key) -> None:
    """Make passes as workers would until the execution is gone; its audit is acknowledged, DataStorage is not away."""

    def gone() -> bool:
        world.parts.outbox.acknowledge(world.parts.outbox.take(100))
        world.parts.queue.notify([key])
        run_key(key, world.parts)
        return world.parts.executions.get(key) is None

    until(gone, 60, f"{key} is gone")
    assert "WorkflowExecutionDeleted" in world.events_of(key)


@contextmanager
def _types_removed(api_cluster: LocalCluster, cluster: Cluster, *names: str) -> Iterator[None]:
    """Remove types of Tekton and with them all their objects, as uninstalling it does."""
    for name in names:
        document = cluster.get(f"{CRDS}/{name}.tekton.dev")
        assert document is not None, name
        cluster.delete(f"{CRDS}/{name}.tekton.dev", uid=document["metadata"]["uid"])
    try:
        for name in names:
            until(lambda name=name: not _served(cluster, name, True), 60, f"{name} are gone")  # type: ignore[misc]
        yield
    finally:
        builds.ensure(None, tekton_crds=True, say=lambda line: None)
        api_cluster.apply(manifests.load(builds.prepared(manifests.CRDS)))
        for name in names:
            until(lambda name=name: _served(cluster, name, False), 60, f"{name} are back")  # type: ignore[misc]


def _served(cluster: Cluster, name: str, unsure: bool) -> bool:
    """Say whether a type is served; one that is coming or going is answered 429."""
    try:
        cluster.list_page(f"/apis/tekton.dev/v1/{name}", limit=1)
    except ResourceAbsent:
        return False
    except Transient:
        return unsure
    return True


@pytest.mark.timeout(240)
@pytest.mark.parametrize("types", [("pipelineruns", "taskruns"), ("pipelineruns",), ("taskruns",)])
def test_running_one_goes_without_tektons_types(
    world: World, api_cluster: LocalCluster, types: tuple[str, ...]
) -> None:
    key = world.declare()
    assert world.make_pass(key).status.phase is Phase.RUNNING
    with _types_removed(api_cluster, world.cluster, *types):
        delete(world, key)
        leaves(world, key)
        assert world.parts.holds.all() == []


@pytest.mark.timeout(240)
def test_failing_one_goes_without_the_type_of_its_tasks(world: World, api_cluster: LocalCluster) -> None:
    """Its run says that it failed, and nobody can be asked any more whether a task had started."""
    key = world.declare()
    world.make_pass(key)
    world.end_run(key, succeeded=False, reason="Failed")
    with _types_removed(api_cluster, world.cluster, "taskruns"):
        delete(world, key)
        leaves(world, key)
        assert world.parts.holds.all() == []


@pytest.mark.timeout(240)
@pytest.mark.parametrize("namespace", ["leaving-ends", "leaving-gone"])
def test_running_one_goes_without_its_namespace(world: World, api_cluster: LocalCluster, namespace: str) -> None:
    api_cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}])
    policy = replace(world.parts.policy, namespace=namespace)
    there = World(replace(world.parts, runs=ClusterRuns(world.cluster, namespace), policy=policy), world.cluster)
    key = there.declare()
    assert there.make_pass(key).status.phase is Phase.RUNNING
    run = paths.pipeline_run(namespace, run_name(there.read(key).spec.target))
    there.remove(f"{NAMESPACES}/{namespace}")
    if namespace == "leaving-gone":
        # What the controller of namespaces does, which this API server has none of.
        there.remove(run)
        _finalize(api_cluster, there.cluster, namespace)
    delete(there, key)
    leaves(there, key)
    assert there.parts.holds.all() == []
    assert there.cluster.get(run) is None


def _finalize(api_cluster: LocalCluster, cluster: Cluster, namespace: str) -> None:
    document = cluster.get(f"{NAMESPACES}/{namespace}")
    assert document is not None
    document["spec"]["finalizers"] = []
    subprocess.run(
        [str(builds.kubectl()), "replace", "--raw", f"{NAMESPACES}/{namespace}/finalize", "-f", "-"],
        input=json.dumps(document),
        env={"HOME": str(api_cluster.kubeconfig.parent), "KUBECONFIG": str(api_cluster.kubeconfig)},
        check=True,
        capture_output=True,
        text=True,
    )
    until(lambda: cluster.get(f"{NAMESPACES}/{namespace}") is None, 60, "the namespace is gone")


def test_one_in_line_goes_and_the_holder_stays(world: World) -> None:
    first = world.declare()
    target = world.read(first).spec.target
    world.make_pass(first)
    second, third = world.declare(target), world.declare(target)
    for key in (second, third):
        world.make_pass(key)
    delete(world, second)
    leaves(world, second)
    assert [waiting.key for waiting in world.parts.holds.line(target, 10)] == [third]
    assert isinstance(world.parts.holds.look(target, world.read(first).uid), Mine)
    assert world.run_of(first) is not None


@pytest.mark.timeout(240)
def test_it_waits_for_redis_and_goes_when_redis_is_back(world: World, redis_server: Any) -> None:
    running = world.declare()
    target = world.read(running).spec.target
    world.make_pass(running)
    waiting = world.declare(target)
    world.make_pass(waiting)
    redis_server.stop()
    try:
        for key in (running, waiting):
            delete(world, key)
            with pytest.raises(Transient):
                run_key(key, world.parts)
            assert world.read(key).guarded
    finally:
        redis_server.start()
    resync(world.parts)
    for key in (running, waiting):
        leaves(world, key)
    assert world.parts.holds.all() == []
    assert world.parts.holds.line(target, 10) == []
    assert world.parts.runs.get(run_name(target), Engine.TEKTON) is None


def test_what_it_does_not_wait_for_is_named_and_counted(world: World, caplog: pytest.LogCaptureFixture) -> None:
    key = world.declare()
    world.make_pass(key)
    delete(world, key)

    def gone() -> bool:
        late = world.parts.queue.now() + timedelta(seconds=60)
        run_pass(key, late, world.parts.policy, world.parts.ports, lambda: 0.0, lambda: None)
        return world.parts.executions.get(key) is None

    until(gone, 60, "it has gone, DataStorage or not")
    assert f"{key}: gone, DataStorage had not acknowledged: workflow.started/1 " in caplog.text
    counted = world.parts.metrics.audit_let_go.labels(SERVICE).collect()
    assert [each.value for family in counted for each in family.samples if each.name.endswith("_total")] == [1]
