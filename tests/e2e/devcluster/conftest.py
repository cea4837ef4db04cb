"""One bundle on the whole cluster, and a way to run it and read how it ended."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from devcluster import Cluster
from devcluster.bundle import publish

NAMESPACE = "devcluster-runs"
ACCOUNT = "runner"

Document = dict[str, Any]


@pytest.fixture(scope="session")
def bundle(full_cluster: Cluster) -> str:
    """Publish a pipeline of one task and give its reference."""
    full_cluster.ensure_runner(NAMESPACE, ACCOUNT)
    steps = [{"name": "restart", "image": "busybox", "script": "true"}]
    pipeline = {
        "apiVersion": "tekton.dev/v1",
        "kind": "Pipeline",
        "metadata": {"name": "workflow"},
        "spec": {"tasks": [{"name": "restart", "taskSpec": {"steps": steps}}]},
    }
    assert full_cluster.registry is not None
    return publish(full_cluster.registry, "devcluster/restart:v1", [pipeline])


@pytest.fixture(scope="session")
def get(full_cluster: Cluster) -> Callable[..., Document]:
    """Give a way to read objects of the namespace with kubectl."""

    def read(*arguments: str) -> Document:
        line = [str(full_cluster.kubectl), "get", "-n", NAMESPACE, "-o", "json", *arguments]
        told = subprocess.run(line, env=full_cluster.environment(), capture_output=True, text=True, check=True)
        found: Document = json.loads(told.stdout)
        return found

    return read


@pytest.fixture(scope="session")
def condition(get: Callable[..., Document]) -> Callable[[str, str, str], Document]:
    """Give a way to wait for a condition of an object to be decided."""

    def wait(kind: str, name: str, wanted: str) -> Document:
        deadline = time.monotonic() + 120
        conditions: list[Document] = []
        while time.monotonic() < deadline:
            conditions = get(kind, name).get("status", {}).get("conditions", [])
            for each in conditions:
                if each["type"] == wanted and each["status"] != "Unknown":
                    return each
            time.sleep(0.1)
        pytest.fail(f"{kind}/{name} has no {wanted}: {conditions}")

    return wait
