from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tasks.adapters.cluster import Cluster
from tests.unit.cluster.scripted import Script, ScriptedServer

Serve = Callable[[Script], tuple[ScriptedServer, Cluster]]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start scripted servers, each with a cluster connected to it."""
    servers: list[ScriptedServer] = []

    def start(script: Script) -> tuple[ScriptedServer, Cluster]:
        server = ScriptedServer(script)
        servers.append(server)
        cluster = Cluster.connect(server.kubeconfig(tmp_path), request_timeout=timedelta(seconds=30))
        return server, cluster

    yield start
    for server in servers:
        server.stop()
