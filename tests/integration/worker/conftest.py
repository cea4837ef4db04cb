"""Celery processes started as they are in earnest, against an API server that the test names."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
CRD = ROOT / "deploy" / "crd.yaml"
WORKER = ("-A", "tasks", "worker", "--without-gossip", "--without-mingle", "--loglevel", "INFO")

Start = Callable[..., tuple["subprocess.Popen[bytes]", Path]]


@pytest.fixture
def start_python(redis_server: Any, tmp_path: Path) -> Iterator[Start]:
    """Start `python …` with a kubeconfig and settings of the test; return the process and its log."""
    children: list[subprocess.Popen[bytes]] = []

    def start(kubeconfig: Path, *words: str) -> tuple[subprocess.Popen[bytes], Path]:
        log = tmp_path / f"{len(children)}.log"
        variables = {
            **os.environ,
            "WFE_KUBERNETES_KUBECONFIG": str(kubeconfig),
            "WFE_REDIS_URL": redis_server.url,
            "WFE_CONTROLLER_METRICS_ADDR": "127.0.0.1:0",
            "WFE_CELERY_HEARTBEAT_FILE": str(tmp_path / "alive"),
        }
        with log.open("wb") as sink:
            child = subprocess.Popen([sys.executable, *words], env=variables, stdout=sink, stderr=sink, cwd=ROOT)
        children.append(child)
        return child, log

    yield start
    for child in children:
        child.kill()
        child.wait()
