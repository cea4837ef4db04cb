"""A stack with the real Tekton controller, bundles in its registry, and a person at a terminal."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devcluster import Cluster as LocalCluster
from devcluster.bundle import publish
from tests.stack_plugin import StackFactory
from tests.terminal import SAMPLES, Terminal, sit_down
from tests.waiting import until


@pytest.fixture(scope="module")
def terminal(full_cluster: LocalCluster, stack_factory: StackFactory) -> Terminal:
    assert full_cluster.registry is not None
    for bundle in ("restart", "failing"):
        publish(full_cluster.registry, f"kubernaut/{bundle}:v1", SAMPLES / "bundles" / bundle)
    stack = stack_factory(workers=2, tekton="real", settings={"execution.cooldown_period": "4s"})
    return sit_down(stack, full_cluster.registry)


@pytest.fixture(autouse=True)
def clean(terminal: Terminal) -> Iterator[None]:
    """Leave no execution of a test behind: deletion has to work anyhow."""
    yield
    terminal.kubectl("delete", "wfe", "--all", "--timeout=40s")
    until(lambda: terminal.runs() == [], 20, "all runs are gone")
