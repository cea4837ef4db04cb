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
from tasks.adapters.cluster import Cluster
from tests.integration.watcher.conftest import CRD, NAMESPACE, RUNS, SYSTEM, User, start_watcher, until


@pytest.fixture
def own() -> Iterator[LocalCluster]:
    """Start an API server that this test may hurt."""
    with local_clusters.start("api", say=lambda line: None) as started:
        started.apply(CRD)
        names = (NAMESPACE, RUNS, SYSTEM)
        started.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names])
        yield started


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
        with frozen(own):
            assert 4 < until(lambda: not started.watcher.leading, 20) < 12
            time.sleep(1)
            assert not started.watcher.leading
        until(lambda: started.watcher.leading, 20)
        assert started.published.resyncs <= 2
        key = user.declare()
        until(lambda: started.published.count(key), 20)
        until(lambda: started.published.resyncs == 2)
        assert started.watcher.problems() == []
    finally:
        assert started.stop() < 5
