"""The stages a run is played on: the scripted Tekton on a bare API server, the real one on a whole cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devcluster import scripted
from devcluster.cluster import Cluster
from tests.contract.tekton.stage import NAMESPACE, Stage


@pytest.fixture(scope="session")
def scripted_stage(api_cluster: Cluster) -> Iterator[Stage]:
    """Give the scripted Tekton."""
    with scripted.start(api_cluster.kubeconfig, namespace=NAMESPACE):
        stage = Stage.prepared(api_cluster)
        yield stage
        stage.client.close()


@pytest.fixture(scope="session")
def real_stage(full_cluster: Cluster) -> Iterator[Stage]:
    """Give the real controller, with the bundles of the cases published."""
    stage = Stage.prepared(full_cluster)
    stage.publish_bundles()
    yield stage
    stage.client.close()
