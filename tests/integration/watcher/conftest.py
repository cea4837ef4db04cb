"""Watchers against a real API server: in this process with recorded publishing, or as processes with a real Redis."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from devcluster.cluster import Cluster as LocalCluster
from models.keys import Key
from models.names import API_VERSION, KIND, LABEL_EXECUTION, LABEL_SOURCE_NAMESPACE
from models.settings import Settings, parse_settings
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from watcher.gauges import Stored
from watcher.service import Outlets, Watcher

CRD = Path(__file__).parents[3] / "deploy" / "crd.yaml"
RUNS = "watched-runs"
NAMESPACE = "watched"
SYSTEM = "watcher-system"
SOON = 20.0
"""Seconds for what takes 2.5 at most on a machine that does nothing else (watcher/service.py: STOP_WITHIN)."""

_numbers = itertools.count(1)


def rounds() -> Iterator[int]:
    """Count to three: what has to happen in time must do so in one of them, for the machine may pause in one."""
    yield from range(3)


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait for a state."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() < start + seconds, "the state did not come"
        time.sleep(0.005)


@dataclass
class Published:
    """What a watcher handed on."""

    keys: list[tuple[Key, bool]] = field(default_factory=list)
    resyncs: int = 0

    def publish(self, keys: Sequence[Key], hot: bool) -> None:
        self.keys += [(key, hot) for key in keys]

    def resync(self) -> None:
        self.resyncs += 1

    def count(self, key: Key) -> int:
        return sum(1 for published, _ in self.keys if published == key)


@pytest.fixture(scope="session")
def local(api_cluster: LocalCluster) -> LocalCluster:
    api_cluster.apply(CRD)
    names = (RUNS, NAMESPACE, SYSTEM)
    api_cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names])
    return api_cluster


@pytest.fixture(scope="session")
def cluster(local: LocalCluster) -> Cluster:
    return Cluster.connect(str(local.kubeconfig))


def settings_for(kubeconfig: Path, *, election: bool = False) -> Settings:
    document = {
        "kubernetes": {"kubeconfig": str(kubeconfig)},
        "execution": {"namespace": RUNS},
        "controller": {
            "leader_election": election,
            "metrics_addr": "127.0.0.1:0",
            "health_probe_addr": "127.0.0.1:0",
        },
    }
    return parse_settings(document, {}, {})


@dataclass
class Started:
    watcher: Watcher
    published: Published
    thread: threading.Thread

    def stop(self) -> None:
        """Stop it: no stream is waited for, each of which may be silent for longer than this."""
        self.watcher.stopping.set()
        self.thread.join(SOON)
        assert not self.thread.is_alive()


def start_watcher(kubeconfig: Path, *, election: bool = False, identity: str = "one") -> Started:
    published = Published()
    settings = settings_for(kubeconfig, election=election)
    watcher = Watcher(
        settings,
        Cluster.connect(str(kubeconfig)),
        Outlets(published.publish, published.resync, lambda: Stored(0, 0)),
        lambda: 0.5,
        identity=identity,
        namespace=SYSTEM,
    )
    thread = threading.Thread(target=watcher.run, args=(30.0,), daemon=True)
    thread.start()
    return Started(watcher, published, thread)


@pytest.fixture
def watching(local: LocalCluster) -> Iterator[Started]:
    """Start a watcher that always leads, and wait until it has listed everything."""
    started = start_watcher(local.kubeconfig)
    until(lambda: all(state.listed for state in started.watcher.states))
    yield started
    started.stop()


@dataclass
class User:
    """What a user, a worker and Tekton do at the API server."""

    cluster: Cluster

    def declare(self) -> Key:
        key = Key(NAMESPACE, f"w{next(_numbers)}")
        body = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": key.name},
            "spec": {
                "remediationRequestRef": {"name": "rr"},
                "workflowRef": {"workflowId": "w", "version": "1", "containerImage": "registry.example/w:1"},
                "targetResource": f"ns/deployment/{key.name}",
            },
        }
        self.cluster.create(paths.executions(NAMESPACE), body)
        return key

    def change(self, key: Key, patch: dict[str, Any], subresource: str = "") -> None:
        self.cluster.merge_patch(paths.execution(key), patch, subresource=subresource)

    def delete(self, key: Key) -> None:
        document = self.cluster.get(paths.execution(key))
        assert document is not None
        self.cluster.delete(paths.execution(key), uid=document["metadata"]["uid"])

    def create_run(self, key: Key) -> str:
        name = f"wfe-{key.name}"
        labels = {LABEL_EXECUTION: key.name, LABEL_SOURCE_NAMESPACE: key.namespace}
        body = {
            "apiVersion": "tekton.dev/v1",
            "kind": "PipelineRun",
            "metadata": {"name": name, "labels": labels},
            "spec": {"pipelineRef": {"name": "p"}},
        }
        self.cluster.create(paths.pipeline_runs(RUNS), body)
        return name

    def say(self, run: str, status: str, reason: str) -> None:
        condition = {"type": "Succeeded", "status": status, "reason": reason}
        patch = {"status": {"conditions": [condition]}}
        self.cluster.merge_patch(paths.pipeline_run(RUNS, run), patch, subresource="status")

    def delete_run(self, run: str) -> None:
        document = self.cluster.get(paths.pipeline_run(RUNS, run))
        assert document is not None
        self.cluster.delete(paths.pipeline_run(RUNS, run), uid=document["metadata"]["uid"])


@pytest.fixture
def user(cluster: Cluster) -> User:
    return User(cluster)


@dataclass
class Process:
    """`python -m watcher` as it is started in earnest."""

    child: subprocess.Popen[bytes]
    log: Path
    ports_file: Path

    def lines(self) -> list[dict[str, Any]]:
        whole = self.log.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def said(self, message: str) -> int:
        return sum(1 for line in self.lines() if line["msg"] == message)

    def ports(self) -> dict[str, str]:
        until(self.ports_file.exists)
        ports: dict[str, str] = json.loads(self.ports_file.read_text())
        return ports

    def terminate(self) -> int:
        """Send SIGTERM and return the exit code; it has to come soon."""
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(SOON)


Launch = Callable[..., Process]


@pytest.fixture
def launch(local: LocalCluster, redis_url: str, tmp_path: Path) -> Iterator[Launch]:
    """Start watcher processes; what is left of them is killed at the end."""
    processes: list[Process] = []

    def start(**environment: str) -> Process:
        number = len(processes)
        log, ports = tmp_path / f"watcher-{number}.log", tmp_path / f"ports-{number}.json"
        variables = {
            **os.environ,
            "WFE_KUBERNETES_KUBECONFIG": str(local.kubeconfig),
            "WFE_REDIS_URL": redis_url,
            "WFE_EXECUTION_NAMESPACE": RUNS,
            "WFE_CONTROLLER_METRICS_ADDR": "127.0.0.1:0",
            "WFE_CONTROLLER_HEALTH_PROBE_ADDR": "127.0.0.1:0",
            "POD_NAMESPACE": SYSTEM,
            "WFE_PORTS_FILE": str(ports),
            **environment,
        }
        with log.open("wb") as sink:
            child = subprocess.Popen([sys.executable, "-m", "watcher"], env=variables, stdout=sink, stderr=sink)
        process = Process(child, log, ports)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.child.kill()
        process.child.wait()
