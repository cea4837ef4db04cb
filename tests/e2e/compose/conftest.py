"""The stack as containers, started once for all tests of this folder, against a local cluster that they can reach."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from _pytest.capture import CaptureManager
from _pytest.terminal import TerminalReporter

from devcluster import cluster, scripted
from devcluster.api import Api
from devcluster.cluster import Cluster
from tests.e2e.compose.checkout import ROOT, Checkout, copy_project
from tests.e2e.compose.engine import Engine, engine

EXECUTIONS = "/apis/kubernaut.ai/v1alpha1/namespaces/default/workflowexecutions"
SETTINGS = {"WFE_EXECUTION_COOLDOWN_PERIOD": "1s", "DATASTORAGE_CHECKPOINT_INTERVAL": "2s"}
ACCOUNT = "system:serviceaccount:kubernaut-system:kubernaut-executor"


@dataclass(frozen=True, slots=True)
class Stack:
    """What a test sees: the stack, its cluster, its audit."""

    checkout: Checkout
    cluster: Cluster
    api: Api
    datastorage: httpx.Client

    def declare(self, name: str, target: str) -> None:
        """Create an execution as a user would; its run succeeds at once."""
        bundle = "registry.example/outcome-success:v1"
        self.cluster.apply(
            [
                {
                    "apiVersion": "kubernaut.ai/v1alpha1",
                    "kind": "WorkflowExecution",
                    "metadata": {"name": name, "namespace": "default"},
                    "spec": {
                        "remediationRequestRef": {"name": f"request-{name}"},
                        "workflowRef": {"workflowId": "restart", "version": "1.0.0", "containerImage": bundle},
                        "targetResource": target,
                    },
                }
            ]
        )

    def status(self, name: str) -> dict[str, Any]:
        """Return the status of an execution."""
        found: dict[str, Any] = self.api.get(f"{EXECUTIONS}/{name}").get("status", {})
        return found

    def audited(self, name: str) -> list[dict[str, Any]]:
        """Return the audit events of an execution, oldest first."""
        answer = self.datastorage.get("/api/v1/audit/events", params={"correlation_id": f"request-{name}"})
        events: list[dict[str, Any]] = answer.raise_for_status().json()["data"]
        return events[::-1]


@pytest.fixture(scope="session")
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Print progress where a person sees it, with the seconds since the start."""
    reporter, capture = map(request.config.pluginmanager.get_plugin, ("terminalreporter", "capturemanager"))
    assert isinstance(reporter, TerminalReporter)
    assert isinstance(capture, CaptureManager)
    began = time.monotonic()

    def tell(line: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.ensure_newline()
            reporter.write_line(f"compose [{time.monotonic() - began:4.0f} s] {line}")

    return tell


@pytest.fixture(scope="session")
def container_engine(say: Callable[[str], None]) -> Iterator[Engine]:
    """Give an engine with the images of the stack."""
    with engine(say) as found:
        yield found


@pytest.fixture(scope="session")
def local_cluster(container_engine: Engine, say: Callable[[str], None]) -> Iterator[Cluster]:
    """Give an API server that containers reach, with our CRD and rights and a scripted Tekton on it."""
    with ExitStack() as ends:
        started = ends.enter_context(cluster.start("api", tekton_crds=True, listen=container_engine.gateway(), say=say))
        started.apply(ROOT / "deploy" / "crd.yaml")
        started.apply(ROOT / "deploy" / "rbac.yaml")
        ends.enter_context(scripted.start(started.kubeconfig))
        say(f"a cluster answers at {started.server}")
        yield started


@pytest.fixture(scope="session")
def stack(
    container_engine: Engine,
    local_cluster: Cluster,
    tmp_path_factory: pytest.TempPathFactory,
    say: Callable[[str], None],
) -> Iterator[Stack]:
    """Start everything from an empty folder, with the rights of the executor's own account, no more."""
    folder = tmp_path_factory.mktemp("project")
    copy_project(folder)
    checkout = Checkout(folder, container_engine, local_cluster.login(ACCOUNT), f"wfe-test-{folder.stat().st_ino}")
    checkout.write_settings(**SETTINGS)
    say(f"make compose-up in an empty folder, {_count(folder)} files")
    try:
        checkout.make("compose-up")
        say("the stack is healthy")
        with (
            Api.of(local_cluster.kubeconfig) as api,
            httpx.Client(
                base_url=f"http://127.0.0.1:{checkout.ports['datastorage']}",
                headers={"Authorization": f"Bearer {checkout.secret('audit_read_token')}"},
                timeout=60,
            ) as datastorage,
        ):
            yield Stack(checkout, local_cluster, api, datastorage)
    finally:
        checkout.make("compose-down", "--volumes --timeout 10")
        container_engine.docker("image", "rm", "--force", f"kubernaut-executor:{checkout.project}", check=False)
        say("the stack is gone")


def _count(folder: Path) -> int:
    return sum(1 for path in folder.rglob("*") if path.is_file())
