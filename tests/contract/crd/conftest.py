"""The CRD and the rights on a real API server, and kubectl as a person types it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from devcluster.cluster import Cluster
from tests.unsigned import await_unsigned_taken

DEPLOY = Path(__file__).parents[3] / "deploy"


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl in one namespace of one cluster."""

    executable: str
    environment: dict[str, str]
    namespace: str

    def command(self, *words: str) -> list[str]:
        return [self.executable, "--namespace", self.namespace, *words]

    def __call__(self, *words: str, stdin: object = None, fails: bool = False) -> str:
        """Run it and return what it printed, the errors when it has to fail."""
        result = subprocess.run(
            self.command(*words),
            input=None if stdin is None else json.dumps(stdin),
            env=self.environment,
            check=False,
            capture_output=True,
            text=True,
        )
        assert (result.returncode != 0) is fails, result.stdout + result.stderr
        return result.stderr if fails else result.stdout

    def create(self, name: str, spec: object = None, *options: str, **fields: object) -> dict[str, Any]:
        """Create an execution and return what the API server answered."""
        manifest = {"apiVersion": "kubernaut.ai/v1alpha1", "kind": "WorkflowExecution", "metadata": {"name": name}}
        given = minimal_spec() if spec is None else spec
        answer: dict[str, Any] = json.loads(
            self("create", "-f", "-", "-o", "json", *options, stdin={**manifest, "spec": given, **fields})
        )
        return answer

    def get(self, name: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self("get", "wfe", name, "-o", "json"))
        return answer


def minimal_spec(**changes: object) -> dict[str, object]:
    """Return the least an execution must say."""
    workflow = {"workflowId": "restart", "version": "1.0.0", "containerImage": "registry.example/restart:1.0.0"}
    return {
        "remediationRequestRef": {"name": "rr-1"},
        "workflowRef": workflow,
        "targetResource": "default/deployment/app",
        **changes,
    }


@pytest.fixture(scope="session")
def crd_cluster(api_cluster: Cluster) -> Cluster:
    """Install what `kubectl apply -k deploy/` installs, by that command.

    The admission policy does not stay: other tests of the session play users who did not sign.
    """
    command = [str(api_cluster.kubectl), "apply", "--server-side", "-k", str(DEPLOY)]
    subprocess.run(command, env=api_cluster.environment(), check=True, capture_output=True)
    gone = ["delete", "-f", str(DEPLOY / "admission.yaml")]
    subprocess.run([str(api_cluster.kubectl), *gone], env=api_cluster.environment(), check=True, capture_output=True)
    established = ["wait", "--for=condition=Established", "crd/workflowexecutions.kubernaut.ai", "--timeout=60s"]
    subprocess.run(
        [str(api_cluster.kubectl), *established], env=api_cluster.environment(), check=True, capture_output=True
    )
    await_unsigned_taken(api_cluster.kubeconfig)
    return api_cluster


@pytest.fixture
def kubectl(crd_cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """Give kubectl in a namespace of the test's own."""
    namespace = "crd-" + f"{abs(hash(request.node.nodeid)):x}"[:12]
    kubectl = Kubectl(str(crd_cluster.kubectl), crd_cluster.environment(), namespace)
    kubectl("create", "namespace", namespace)
    yield kubectl
    kubectl("delete", "wfe", "--all", "--wait=false")
    kubectl("delete", "namespace", namespace, "--wait=false")
