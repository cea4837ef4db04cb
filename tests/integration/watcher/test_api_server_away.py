"""An API server that hangs: leadership ends by itself, the streams go on where they were, nothing is missed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from devcluster import cluster as local_clusters
from devcluster.cluster import Cluster as LocalCluster
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from tests.integration.watcher.conftest import CRD, NAMESPACE, RUNS, SYSTEM, User, start_watcher, until
from watcher.leader import LEASE_NAME


@pytest.fixture
def own() -> Iterator[LocalCluster]:
    """Start an API server that this test may hurt."""
    with local_clusters.start("api", say=lambda line: None) as started:
        started.apply(CRD)
        names = (NAMESPACE, RUNS, SYSTEM)
        started.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names])
        yield started


def _renewed(cluster: Cluster) -> str:
    lease = cluster.get(paths.lease(SYSTEM, LEASE_NAME))
    assert lease is not None
    return str(lease["spec"]["renewTime"])


@contextmanager
def frozen(cluster: LocalCluster) -> Iterator[None]:
    assert cluster.record is not None
    pid = cluster.record.components["kube-apiserver"].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_frozen_api_server_ends_leading_and_nothing_is_missed_afterwards(own: LocalCluster) -> None:
    started = start_watcher(own.kubeconfig, election=True)
    user = User(Cluster.connect(str(own.kubeconfig)))
    try:
        until(lambda: started.watcher.leading and started.watcher.states[0].listed)
        renewed = _renewed(user.cluster)
        until(lambda: _renewed(user.cluster) != renewed)
        with frozen(own):
            began = led = looking = time.monotonic()
            while started.watcher.leading:
                led = looking
                time.sleep(0.005)
                looking = time.monotonic()
            assert time.monotonic() - began > 4, "one answer that did not come ends nothing"
            assert led - began < 12, "nobody leads for longer than he may"
            time.sleep(1)
            assert not started.watcher.leading
        until(lambda: started.watcher.leading)
        assert started.published.resyncs <= 2
        key = user.declare()
        until(lambda: started.published.count(key))
        until(lambda: started.published.resyncs == 2)
        assert started.watcher.problems() == []
    finally:
        started.stop()
