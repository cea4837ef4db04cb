"""A stack with the real Tekton controller, bundles in its registry, and a person at a terminal."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.local import Stack
from devcluster import Cluster as LocalCluster
from devcluster.bundle import publish
from tests.stack_plugin import StackFactory
from tests.terminal import SAMPLES, Terminal, sit_down
from tests.waiting import until

HELD = "held"
SETTINGS = {
    "execution.cooldown_period": "8s",
    "backoff.base_cooldown": "3s",
    "backoff.jitter": "0",
    "backoff.max_consecutive_failures": "3",
}


@pytest.fixture(scope="module")
def stack(full_cluster: LocalCluster, stack_factory: StackFactory, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    assert full_cluster.registry is not None
    for bundle in ("restart", "failing"):
        publish(full_cluster.registry, f"kubernaut/{bundle}:v1", SAMPLES / "bundles" / bundle)
    publish(full_cluster.registry, f"kubernaut/{HELD}:v1", _held(tmp_path_factory.mktemp("bundles") / HELD))
    return stack_factory(workers=2, tekton="real", settings=SETTINGS)


def _held(place: Path) -> Path:
    """Make a bundle like `restart` that does not end before `Terminal.finish`: there is time to do something to it."""
    shutil.copytree(SAMPLES / "bundles" / "restart", place)
    task = place / "task.yaml"
    text = task.read_text(encoding="utf-8")
    assert "outcome: success" in text
    task.write_text(text.replace("outcome: success", "outcome: hang"), encoding="utf-8")
    return place


@pytest.fixture(scope="session")
def held(full_cluster: LocalCluster) -> dict[str, str]:
    """Return the workflowRef of the bundle that does not end by itself."""
    image = f"{full_cluster.registry}/kubernaut/{HELD}:v1"
    return {"workflowId": "restart-workload", "version": "1.0.0", "containerImage": image}


@pytest.fixture(scope="module")
def terminal(full_cluster: LocalCluster, stack: Stack) -> Terminal:
    assert full_cluster.registry is not None
    return sit_down(stack, full_cluster.registry)


@pytest.fixture(autouse=True)
def clean(terminal: Terminal) -> Iterator[None]:
    """Leave no execution of a test behind: deletion has to work anyhow."""
    yield
    terminal.kubectl("delete", "wfe", "--all", "--timeout=120s")
    until(lambda: terminal.runs() == [], 60, "all runs are gone")
