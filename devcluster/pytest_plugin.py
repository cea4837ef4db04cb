"""Give tests a local cluster: load with `-p devcluster.pytest_plugin`, or name it in `pytest_plugins`.

One cluster of each level a test session (a worker process of xdist is a session of its own). It ends with the session,
however that ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from devcluster.cluster import Cluster


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option to use the cluster that KUBECONFIG names."""
    group = parser.getgroup("devcluster")
    group.addoption("--use-existing", action="store_true", help="use the cluster that KUBECONFIG names, start none")


@pytest.fixture(scope="session")
def api_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Give an API server with Tekton's CRDs and the audit log, without controllers."""
    from devcluster import cluster

    if request.config.getoption("use_existing"):
        yield cluster.use_existing(tekton_crds=True)
        return
    with cluster.start("api", tekton_crds=True, audit_log=True) as started:
        yield started


@pytest.fixture(scope="session")
def full_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Give a whole cluster with Tekton, a node and a registry."""
    from devcluster import cluster

    if request.config.getoption("use_existing"):
        yield cluster.use_existing()
        return
    with cluster.start("full", audit_log=True) as started:
        yield started
