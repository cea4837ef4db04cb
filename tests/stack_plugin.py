"""Local stacks for tests: everything real, on the cluster of the test session.

`stack_factory(workers=2, tekton="scripted", settings={…})` gives a running stack; one at a time on one cluster, because
an executor works on all of it. A module's stacks end with the module, and what they left on the cluster is removed.
Every tier loads this: what is heavy is imported where it is used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cli.local import Stack
    from devcluster import Cluster as LocalCluster
    from tasks.adapters.cluster import Cluster

StackFactory = Callable[..., "Stack"]

FAST: Mapping[str, str] = {"execution.cooldown_period": "1s", "backoff.base_cooldown": "1s"}
"""Settings under which a test need not wait long."""


@pytest.fixture(scope="module")
def stack_factory(request: pytest.FixtureRequest) -> Iterator[StackFactory]:
    """Return how to start a stack; `on` is another cluster than the session's."""
    from cli.local import StackRequest, Tekton, up

    started: list[Stack] = []

    def start(
        *,
        workers: int = 2,
        tekton: str = "scripted",
        settings: Mapping[str, str] = FAST,
        on: LocalCluster | None = None,
    ) -> Stack:
        mover = Tekton(tekton)
        cluster = on or request.getfixturevalue("full_cluster" if mover is Tekton.REAL else "api_cluster")
        clear(str(cluster.kubeconfig))  # tests without an executor leave executions behind
        asked = StackRequest(
            name=f"test-{os.getpid()}-{len(started)}",
            kubeconfig=str(cluster.kubeconfig),
            login=_executor_login(cluster),
            tekton=mover,
            workers=workers,
            settings=settings,
        )
        running = up(asked, detach=False)
        started.append(running)
        return running

    yield start
    for running in started:
        running.down()
        clear(running.kubeconfig)
        _lift_admission(running.kubeconfig)


def _executor_login(cluster: LocalCluster) -> str:
    """Let the parts have the rights of deploy/rbac.yaml and no more; a borrowed cluster cannot give logins."""
    from cli.local.ground import EXECUTOR, EXECUTOR_GROUPS

    return str(cluster.login(EXECUTOR, EXECUTOR_GROUPS)) if cluster.record is not None else ""


def clear(kubeconfig: str) -> None:
    """Remove every execution and run of a cluster on which no executor runs any more, and the Leases of watchers."""
    from tasks.adapters import paths
    from tasks.adapters.cluster_errors import ResourceAbsent
    from watcher.leader import LEASE_NAME

    cluster = _connect(kubeconfig)
    for lease in list(cluster.list(paths.leases(""), field_selector=f"metadata.name={LEASE_NAME}")):
        cluster.delete(paths.lease(lease["metadata"]["namespace"], LEASE_NAME), uid=lease["metadata"]["uid"])
    kinds = ((paths.executions(), paths.executions), (paths.pipeline_runs(), paths.pipeline_runs))
    for collection, one in (*kinds, (paths.jobs(), paths.jobs)):
        try:
            found = list(cluster.list(collection))
        except ResourceAbsent:
            continue
        for document in found:
            _remove(cluster, f"{one(document['metadata']['namespace'])}/{document['metadata']['name']}", document)


def _connect(kubeconfig: str) -> Cluster:
    from tasks.adapters.cluster import Cluster

    return Cluster.connect(kubeconfig, "", timedelta(seconds=10))


def _remove(cluster: Cluster, path: str, document: dict[str, Any]) -> None:
    from models.errors import Conflict

    cluster.delete(path, uid=document["metadata"]["uid"])
    if cluster.get(path) is not None:
        with suppress(Conflict):  # gone by now: the cluster's own controllers remove things, too
            cluster.merge_patch(path, {"metadata": {"finalizers": None}})


def _lift_admission(kubeconfig: str) -> None:
    """Remove the admission policy: tests without a stack play users who do not sign what they ask."""
    from tests.unsigned import await_unsigned_taken

    cluster = _connect(kubeconfig)
    lifted = False
    for kind in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):
        path = f"/apis/admissionregistration.k8s.io/v1/{kind}/workflowexecution-requested-by"
        policy = cluster.get(path)
        if policy is not None:
            cluster.delete(path, uid=policy["metadata"]["uid"])
            lifted = True
    if lifted:
        await_unsigned_taken(kubeconfig)
