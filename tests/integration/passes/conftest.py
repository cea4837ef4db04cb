"""One worker's parts on a real API server and a real Redis; passes are made by the test itself, one at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from prometheus_client import CollectorRegistry

from devcluster.cluster import Cluster as LocalCluster
from models.errors import Transient
from models.execution import Execution
from models.keys import Key
from models.manifest import run_manifest
from models.names import API_VERSION, KIND
from models.run import Run
from models.settings import parse_settings
from models.target import run_name
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from tasks.adapters.cluster_errors import ResourceAbsent
from tasks.app import build_app
from tasks.parts import Parts, build_parts
from tasks.reconciling import run_key
from tasks.upkeep import resync
from tests.waiting import until

CRD = Path(__file__).parents[3] / "deploy" / "crd.yaml"
NAMESPACE = "passes"
RUNS = "passes-runs"
_numbers = itertools.count(1)


@dataclass
class World:
    """What a test does as a user, as Tekton, and as a worker."""

    parts: Parts
    cluster: Cluster
    made: list[str] = field(default_factory=list)

    def declare(self, target: str | None = None, namespace: str = NAMESPACE, **spec: Any) -> Key:
        """Create an execution as a user would."""
        number = next(_numbers)
        name = f"x{number}"
        body = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "remediationRequestRef": {"name": f"rr-{number}"},
                "workflowRef": {"workflowId": "w", "version": "1", "containerImage": "registry.example/w:1"},
                "targetResource": target or f"ns/deployment/t{number}",
                **spec,
            },
        }
        self.cluster.create(paths.executions(namespace), body)
        return Key(namespace, name)

    def read(self, key: Key) -> Execution:
        execution = self.parts.executions.get(key)
        assert execution is not None, key
        return execution

    def run_of(self, key: Key) -> Run | None:
        return self.parts.runs.get(run_name(self.read(key).spec.target), self.read(key).spec.engine)

    def make_pass(self, key: Key) -> Execution:
        """Do what a worker does for a message, and return the execution afterwards."""
        self.parts.queue.notify([key])
        run_key(key, self.parts)
        return self.read(key)

    def create_run(self, key: Key, *, attempt: int = 1, fence: int = 1, uid: str | None = None) -> Run:
        """Create the run of an execution as a worker that then died."""
        manifest = run_manifest(self.read(key), attempt, fence, self.parts.policy)
        if uid == "":
            manifest["metadata"]["annotations"] = {}
            manifest["metadata"]["labels"] = {}
        return self.parts.runs.create(manifest)

    def end_run(self, key: Key, *, succeeded: bool, reason: str, message: str = "") -> None:
        """Say as Tekton would that the run of an execution has ended."""
        run = self.run_of(key)
        assert run is not None
        condition = {"type": "Succeeded", "status": str(succeeded), "reason": reason, "message": message}
        status = {"conditions": [condition], "startTime": "2026-01-01T00:00:00Z"}
        path = paths.pipeline_run(RUNS, run.name)
        self.cluster.merge_patch(path, {"status": status}, subresource="status")

    def leave_task_run(self, run: str) -> str:
        """Create a TaskRun as a run that is gone left it, and return its path."""
        metadata = {"name": f"{run}-act", "namespace": RUNS, "labels": {"tekton.dev/pipelineRun": run}}
        body = {"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "metadata": metadata, "spec": {}}
        self.cluster.create(paths.task_runs(RUNS), body)
        return paths.task_run(RUNS, f"{run}-act")

    def remove(self, path: str) -> None:
        document = self.cluster.get(path)
        assert document is not None, path
        self.cluster.delete(path, uid=document["metadata"]["uid"])

    @contextmanager
    def long_cooldown(self) -> Iterator[timedelta]:
        """Let a cooldown last longer than any test while the context does."""
        parts, lasts = self.parts, timedelta(minutes=10)
        self.parts = replace(parts, policy=replace(parts.policy, cooldown=lasts))
        try:
            yield lasts
        finally:
            self.parts = parts

    def events_of(self, key: Key) -> list[str]:
        selector = f"involvedObject.name={key.name}"
        listed = self.cluster.list(paths.kubernetes_events(key.namespace), field_selector=selector)
        return sorted(event["reason"] for event in listed)


@pytest.fixture(scope="module")
def prepared(api_cluster: LocalCluster) -> Cluster:
    api_cluster.apply(CRD)
    for name in (NAMESPACE, RUNS):
        api_cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}])
    cluster = Cluster.connect(str(api_cluster.kubeconfig))
    for path in (paths.executions(NAMESPACE), paths.pipeline_runs(RUNS)):
        until(lambda path=path: _served(cluster, path), 60, f"{path} is served")  # type: ignore[misc]
    return cluster


def _served(cluster: Cluster, path: str) -> bool:
    """A CRD that was just created is answered 429 until its storage is ready."""
    try:
        cluster.list_page(path, limit=1)
    except (Transient, ResourceAbsent):
        return False
    return True


@pytest.fixture
def world(prepared: Cluster, api_cluster: LocalCluster, redis_client: redis.Redis, redis_url: str) -> Iterator[World]:
    document = {
        "kubernetes": {"kubeconfig": str(api_cluster.kubeconfig)},
        "redis": {"url": redis_url},
        "execution": {"namespace": RUNS, "cooldown_period": "2s"},
        "backoff": {"base_cooldown": "1s", "jitter": 0},
    }
    settings = parse_settings(yaml.safe_load(yaml.safe_dump(document)), {}, {})
    parts = build_parts(settings, build_app(settings), CollectorRegistry())
    resync(parts)
    yield World(parts, prepared)
    for run in list(prepared.list(paths.pipeline_runs(RUNS))):
        metadata = run["metadata"]
        path = paths.pipeline_run(RUNS, metadata["name"])
        if metadata.get("finalizers"):
            prepared.merge_patch(path, {"metadata": {"finalizers": None}})
        prepared.delete(path, uid=metadata["uid"])
    for execution in list(prepared.list(paths.executions(NAMESPACE))):
        path = paths.execution(Key(NAMESPACE, execution["metadata"]["name"]))
        prepared.merge_patch(path, {"metadata": {"finalizers": None}})
        prepared.delete(path, uid=execution["metadata"]["uid"])
