"""A stack with the real Tekton controller, bundles in its registry, and a person at a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from devcluster import Cluster as LocalCluster
from devcluster.bundle import publish
from tests.stack_plugin import StackFactory
from tests.waiting import until

SAMPLES = Path(__file__).parents[3] / "docs" / "samples"
WFE = str(Path(sys.executable).with_name("wfe"))


@dataclass(frozen=True)
class Terminal:
    """Types commands as a person would, with the environment that `wfe local up` prints."""

    kubectl_path: str
    environment: dict[str, str]
    registry: str

    def kubectl(self, *words: str, stdin: str | None = None, check: bool = True) -> str:
        return self._type([self.kubectl_path, *words], stdin, check)

    def wfe(self, *words: str, check: bool = True) -> str:
        return self._type([WFE, *words], None, check)

    def _type(self, command: list[str], stdin: str | None, check: bool) -> str:
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=60, env=self.environment, check=False
        )
        assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def apply(self, sample: str, **changes: Any) -> None:
        """Apply a sample with the registry of this cluster in it; `changes` go into its spec."""
        document = yaml.safe_load((SAMPLES / sample).read_text(encoding="utf-8"))
        reference = document["spec"]["workflowRef"]["containerImage"]
        document["spec"]["workflowRef"]["containerImage"] = reference.replace("127.0.0.1:5000", self.registry)
        document["spec"] |= changes
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(document))

    def runs(self) -> list[dict[str, Any]]:
        found: dict[str, Any] = json.loads(
            self.kubectl("get", "pipelinerun", "-n", "kubernaut-workflows", "-o", "json")
        )
        return list(found["items"])

    def status(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", "wfe", name, "-o", "json"))
        status: dict[str, Any] = found.get("status") or {}
        return status

    def reaches(self, name: str, phase: str, seconds: float = 30) -> dict[str, Any]:
        seen: dict[str, Any] = {}

        def there() -> bool:
            seen.clear()
            seen.update(self.status(name))
            return seen.get("phase") == phase

        try:
            until(there, seconds, f"{name} is {phase}", every=0.2)
        except AssertionError as late:
            raise AssertionError(f"{late}; its status: {json.dumps(seen)}") from None
        return seen

    def watch(self, *words: str) -> subprocess.Popen[str]:
        """Start a command that goes on, with its output in a pipe."""
        return subprocess.Popen(
            [self.kubectl_path, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environment,
        )


@pytest.fixture(scope="module")
def terminal(full_cluster: LocalCluster, stack_factory: StackFactory) -> Terminal:
    assert full_cluster.registry is not None
    for bundle in ("restart", "failing"):
        publish(full_cluster.registry, f"kubernaut/{bundle}:v1", SAMPLES / "bundles" / bundle)
    stack = stack_factory(workers=2, tekton="real", settings={"execution.cooldown_period": "4s"})
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "KUBECONFIG": str(stack.kubeconfig),
        "WFE_REDIS_URL": stack.redis_url,
        "WFE_AUDIT_DATASTORAGE_URL": stack.datastorage_url,
    }
    return Terminal(str(full_cluster.kubectl), environment, full_cluster.registry)


@pytest.fixture(autouse=True)
def clean(terminal: Terminal) -> Iterator[None]:
    """Leave no execution of a test behind: deletion has to work anyhow."""
    yield
    terminal.kubectl("delete", "wfe", "--all", "--timeout=40s")
    until(lambda: terminal.runs() == [], 20, "all runs are gone")
