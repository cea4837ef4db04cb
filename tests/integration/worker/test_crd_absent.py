"""A worker that is started before the CRD exists: it waits, says so, and goes on; what does not come ends it with 1."""

from __future__ import annotations

import functools
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from devcluster import cluster as local_clusters
from devcluster.cluster import Cluster as LocalCluster
from tests.integration.worker.conftest import CRD, WORKER, Start
from tests.waiting import until

THE_CRD = "the CRD of WorkflowExecution, and the right to list it"
IMPATIENT = (
    "import sys; from tasks import waiting; waiting.START_DEADLINE = 3.0; from celery.__main__ import main; main()"
)
"""A worker as it is, but for the two minutes that it waits: nobody sets those, so no setting shortens them."""


@pytest.fixture(scope="module")
def bare() -> Iterator[LocalCluster]:
    """Start an API server of this module's own, without any CRD."""
    with local_clusters.start("api", say=lambda line: None) as started:
        yield started


@pytest.fixture
def launch(bare: LocalCluster, redis_client: redis.Redis, start_python: Start) -> Start:
    return functools.partial(start_python, bare.kubeconfig)


def _said(log: Path, message: str) -> list[dict[str, Any]]:
    whole = log.read_text().rpartition("\n")[0]
    lines = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
    return [line for line in lines if line["msg"] == message and line.get("waits_for") == THE_CRD]


@pytest.mark.timeout(400)
def test_the_crd_that_does_not_come_ends_a_worker_with_one(launch: Start) -> None:
    child, log = launch("-c", IMPATIENT, *WORKER)
    assert child.wait(90) == 1
    assert _said(log, "waiting")
    assert f"giving up: waited 3 s for {THE_CRD}" in log.read_text()
    assert " ready." not in log.read_text()


@pytest.mark.timeout(400)
def test_a_worker_waits_for_the_crd_says_so_and_goes_on(launch: Start, bare: LocalCluster) -> None:
    child, log = launch("-m", "celery", *WORKER)
    until(lambda: _said(log, "waiting"), 90, "it says what it waits for")
    until(lambda: _said(log, "still waiting"), 90, "it says so again")
    assert child.poll() is None
    assert " ready." not in log.read_text()
    bare.apply(CRD)
    until(lambda: " ready." in log.read_text(), 90, "it is ready")
    child.send_signal(signal.SIGTERM)
    assert child.wait(90) == 0
