"""A worker that is started before the CRD exists: it waits, says so, and goes on; what does not come ends it with 1."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from devcluster import cluster as local_clusters
from devcluster.cluster import Cluster as LocalCluster
from tests.waiting import until

ROOT = Path(__file__).parents[3]
WORKER = ("-A", "tasks", "worker", "--without-gossip", "--without-mingle", "--loglevel", "INFO")
THE_CRD = "the CRD of WorkflowExecution, and the right to list it"
IMPATIENT = (
    "import sys; from tasks import waiting; waiting.START_DEADLINE = 3.0; from celery.__main__ import main; main()"
)
"""A worker as it is, but for the two minutes that it waits: nobody sets those, so no setting shortens them."""

Launch = Callable[..., tuple["subprocess.Popen[bytes]", Path]]


@pytest.fixture(scope="module")
def bare() -> Iterator[LocalCluster]:
    """Start an API server of this module's own, without any CRD."""
    with local_clusters.start("api", say=lambda line: None) as started:
        yield started


@pytest.fixture
def launch(bare: LocalCluster, redis_server: Any, redis_client: redis.Redis, tmp_path: Path) -> Iterator[Launch]:
    children: list[subprocess.Popen[bytes]] = []

    def start(*words: str) -> tuple[subprocess.Popen[bytes], Path]:
        log = tmp_path / f"worker-{len(children)}.log"
        variables = {
            **os.environ,
            "WFE_KUBERNETES_KUBECONFIG": str(bare.kubeconfig),
            "WFE_REDIS_URL": redis_server.url,
            "WFE_CONTROLLER_METRICS_ADDR": "127.0.0.1:0",
        }
        with log.open("wb") as sink:
            child = subprocess.Popen(
                [sys.executable, *words, *WORKER], env=variables, stdout=sink, stderr=sink, cwd=ROOT
            )
        children.append(child)
        return child, log

    yield start
    for child in children:
        child.kill()
        child.wait()


def _said(log: Path, message: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["msg"] == message and line.get("waits_for") == THE_CRD]


@pytest.mark.timeout(120)
def test_the_crd_that_does_not_come_ends_a_worker_with_one(launch: Launch) -> None:
    child, log = launch("-c", IMPATIENT)
    assert child.wait(60) == 1
    assert _said(log, "waiting")
    assert f"giving up: waited 3 s for {THE_CRD}" in log.read_text()
    assert " ready." not in log.read_text()


@pytest.mark.timeout(120)
def test_a_worker_waits_for_the_crd_says_so_and_goes_on(launch: Launch, bare: LocalCluster) -> None:
    child, log = launch("-m", "celery")
    until(lambda: _said(log, "waiting"), 40, "it says what it waits for")
    until(lambda: _said(log, "still waiting"), 20, "it says so again")
    assert child.poll() is None
    assert " ready." not in log.read_text()
    bare.apply(ROOT / "deploy" / "crd.yaml")
    until(lambda: " ready." in log.read_text(), 40, "it is ready")
    child.send_signal(signal.SIGTERM)
    assert child.wait(20) == 0
