"""The scripted Tekton as a process: what it follows, what it leaves alone, how it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from devcluster import scripted
from devcluster.cluster import Cluster
from devcluster.scripted.connection import MERGE_PATCH, Client, Refused, Server
from tests.waiting import until

SECONDS = 60.0


class Runs:
    """The runs of a namespace that only this test's player follows."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        cluster.ensure_runner(namespace, "runner")
        self.kubeconfig, self.namespace = cluster.kubeconfig, namespace
        self.client = Client(Server.read(cluster.kubeconfig))
        self.api = f"/apis/tekton.dev/v1/namespaces/{namespace}"

    def create(self, name: str, bundle: str, **spec: Any) -> str:
        params = [{"name": "bundle", "value": f"127.0.0.1:5000/scripted/{bundle}:v1"}]
        document = {
            "apiVersion": "tekton.dev/v1",
            "kind": "PipelineRun",
            "metadata": {"name": name},
            "spec": {"pipelineRef": {"resolver": "bundles", "params": params}, **spec},
        }
        return str(self.client.request("POST", f"{self.api}/pipelineruns", document)["metadata"]["uid"])

    def change(self, name: str, patch: dict[str, Any], subresource: str = "") -> None:
        self.client.request("PATCH", f"{self.api}/pipelineruns/{name}{subresource}", patch, MERGE_PATCH)

    def delete(self, name: str) -> None:
        self.client.request("DELETE", f"{self.api}/pipelineruns/{name}")

    def condition(self, name: str) -> str:
        status = self.client.request("GET", f"{self.api}/pipelineruns/{name}").get("status") or {}
        return "".join(f"{c['status']}/{c['reason']}" for c in status.get("conditions") or ())

    def task_runs(self) -> dict[str, str]:
        items = self.client.request("GET", f"{self.api}/taskruns")["items"]
        return {i["metadata"]["name"]: i["metadata"]["ownerReferences"][0]["uid"] for i in items}

    def await_condition(self, name: str, wanted: str) -> None:
        until(lambda: self.condition(name) == wanted, SECONDS, f"{name} {wanted}", every=0.02)


@pytest.fixture
def runs(api_cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Runs]:
    """Give a namespace of the test's own."""
    name = f"p-{request.node.name.replace('_', '-')[5:55].rstrip('-')}"
    given = Runs(api_cluster, name)
    yield given
    given.client.close()


@pytest.mark.parametrize(
    ("bundle", "wanted"),
    [
        ("outcome-success-200ms", "True/Succeeded"),
        ("outcome-exit-3", "False/Failed"),
        ("outcome-bundle-missing", "False/CouldntGetPipeline"),
        ("outcome-cancel", "False/Cancelled"),
        ("outcome-timeout", "False/PipelineRunTimeout"),
    ],
)
def test_the_bundles_name_directs_a_run(api_cluster: Cluster, bundle: str, wanted: str) -> None:
    runs = Runs(api_cluster, f"named-{bundle}")
    with scripted.start(runs.kubeconfig, namespace=runs.namespace):
        runs.create("r", bundle)
        runs.await_condition("r", wanted)
    runs.client.close()


def test_a_run_of_another_namespace_or_controller_is_left_alone(runs: Runs) -> None:
    with scripted.start(runs.kubeconfig, namespace=runs.namespace):
        runs.create("theirs", "outcome-success", managedBy="example.com/other")
        runs.create("ours", "outcome-success")
        runs.await_condition("ours", "True/Succeeded")
        assert runs.condition("theirs") == ""


def test_fast_leaves_out_the_task_runs_of_successes_only(runs: Runs) -> None:
    with scripted.start(runs.kubeconfig, namespace=runs.namespace, fast=True):
        runs.create("good", "outcome-success")
        runs.create("bad", "outcome-exit")
        runs.await_condition("good", "True/Succeeded")
        runs.await_condition("bad", "False/Failed")
        assert set(runs.task_runs()) == {"bad-task-1"}


def test_a_later_run_of_the_same_name_is_played_for_itself(runs: Runs) -> None:
    with scripted.start(runs.kubeconfig, namespace=runs.namespace):
        for bundle, wanted in (("outcome-exit", "False/Failed"), ("outcome-success", "True/Succeeded")):
            uid = runs.create("same", bundle)
            runs.await_condition("same", wanted)
            assert runs.task_runs() == {"same-task-1": uid}
            runs.delete("same")


def test_a_run_deleted_in_the_middle_leaves_no_task_run(runs: Runs) -> None:
    with scripted.start(runs.kubeconfig, namespace=runs.namespace):
        runs.create("short", "outcome-hang")
        runs.await_condition("short", "Unknown/Running")
        runs.delete("short")
        until(lambda: not runs.task_runs(), SECONDS, "no TaskRun")


def test_what_happened_while_the_player_was_away_is_made_up_for(runs: Runs) -> None:
    with scripted.start(runs.kubeconfig, namespace=runs.namespace):
        runs.create("going", "outcome-hang")
        runs.await_condition("going", "Unknown/Running")
        runs.create("again", "outcome-hang")
        runs.await_condition("again", "Unknown/Running")
    runs.delete("again")
    uid = runs.create("again", "outcome-success")
    # Begun an hour ago, its time was up half an hour later.
    began = (datetime.now(UTC) - timedelta(hours=1)).isoformat(timespec="seconds")
    runs.change("going", {"spec": {"timeouts": {"pipeline": "30m"}}})
    runs.change("going", {"status": {"startTime": began}}, "/status")
    with scripted.start(runs.kubeconfig, namespace=runs.namespace):
        runs.await_condition("again", "True/Succeeded")
        assert runs.task_runs()["again-task-1"] == uid, "the TaskRun of the earlier run was replaced"
        runs.await_condition("going", "False/PipelineRunTimeout")


def test_it_ends_with_a_caller_that_is_killed(runs: Runs) -> None:
    code = f"from devcluster import scripted; print(scripted.start({str(runs.kubeconfig)!r}).pid, flush=True); input()"
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as caller:
        assert caller.stdout is not None
        player = psutil.Process(int(caller.stdout.readline()))
        os.kill(caller.pid, signal.SIGKILL)
    try:
        until(lambda: not player.is_running() or player.status() == psutil.STATUS_ZOMBIE, SECONDS, "its end")
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            player.kill()


def test_stopping_twice_is_stopping_once(runs: Runs) -> None:
    handle = scripted.start(runs.kubeconfig, namespace=runs.namespace)
    handle.stop()
    handle.stop()
    assert handle.process.returncode == 0


def test_an_unusable_kubeconfig_is_said_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "devcluster.scripted", "--kubeconfig", str(tmp_path / "none")]
    done = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    with pytest.raises(scripted.StartError, match="exit code 2"):
        scripted.start(tmp_path / "none")


def test_a_refusal_says_what_the_server_said(runs: Runs) -> None:
    with pytest.raises(Refused, match="404 NotFound"):
        runs.condition("nobody")
