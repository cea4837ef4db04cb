"""Types that are not installed: Tekton may be absent for ever and come later, our own CRD is waited for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devcluster import builds, manifests
from devcluster import cluster as local_clusters
from devcluster.cluster import Cluster as LocalCluster
from models.execution import Engine
from tasks.adapters.cluster import Cluster
from tasks.adapters.surroundings import ClusterSurroundings
from tests.integration.watcher.conftest import CRD, NAMESPACE, RUNS, User, start_watcher, until
from watcher.health import unlisted_streams


@pytest.fixture
def bare() -> Iterator[LocalCluster]:
    """Start an API server of this test's own, without any CRD."""
    with local_clusters.start("api", say=lambda line: None) as started:
        yield started


def test_the_watcher_waits_for_its_crd_lives_without_tekton_and_notices_it_come(bare: LocalCluster) -> None:
    names = (NAMESPACE, RUNS)
    bare.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names])
    started = start_watcher(bare.kubeconfig)
    executions, runs, *_ = started.watcher.states
    try:
        assert unlisted_streams([executions]) == ["workflowexecutions: not listed yet"]
        bare.apply(CRD)
        until(lambda: executions.listed and runs.absent)
        assert unlisted_streams([executions, runs]) == []
        user = User(Cluster.connect(str(bare.kubeconfig)))
        key = user.declare()
        until(lambda: started.published.count(key) == 1)

        around = ClusterSurroundings(user.cluster, "default")
        around.engine_absent(Engine.TEKTON)
        assert [around.engine_available(engine) for engine in Engine] == [False, True]
        asked = started.published.resyncs
        builds.ensure(None, tekton_crds=True, say=lambda line: None)
        bare.apply(manifests.load(builds.prepared(manifests.CRDS)))
        until(lambda: runs.listed)
        until(lambda: started.published.resyncs > asked)
        assert around.engine_available(Engine.TEKTON)
        user.say(user.create_run(key), "True", "Succeeded")
        until(lambda: started.published.count(key) == 2)
        assert started.watcher.problems() == []
    finally:
        started.stop()
