from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from devcluster.cluster import Cluster as LocalCluster
from tasks.adapters.cluster import Cluster

DEPLOY = Path(__file__).parents[3] / "deploy"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def prepared(api_cluster: LocalCluster) -> LocalCluster:
    """Give the API server with our CRD on it."""
    api_cluster.apply(DEPLOY / "crd.yaml")
    return api_cluster


@pytest.fixture
def cluster(prepared: LocalCluster) -> Cluster:
    """Connect as the cluster's administrator."""
    return Cluster.connect(str(prepared.kubeconfig))


@pytest.fixture
def namespace(cluster: Cluster) -> str:
    """Make a namespace of this test's own."""
    name = f"adapter-{next(_numbers)}"
    cluster.create("/api/v1/namespaces", {"metadata": {"name": name}})
    return name


def an_execution(name: str, target: str = "default/deployment/shop") -> dict[str, Any]:
    return {
        "apiVersion": "kubernaut.ai/v1alpha1",
        "kind": "WorkflowExecution",
        "metadata": {"name": name},
        "spec": {
            "remediationRequestRef": {"name": "incident"},
            "workflowRef": {"workflowId": "restart", "version": "1", "containerImage": "registry/restart:1"},
            "targetResource": target,
        },
    }
