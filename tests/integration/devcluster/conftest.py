"""Clusters that a test may break: in a state directory of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devcluster import cluster, records
from devcluster.places import state_root

Until = Callable[[Callable[[], object], str], None]


@pytest.fixture
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a state root that no other test uses; whatever runs there ends with the test."""
    monkeypatch.setenv("WFE_STATE_DIR", str(tmp_path / "state"))
    yield state_root()
    for name in cluster.names():
        cluster.stop(name)


@pytest.fixture
def until() -> Until:
    """Give a way to wait for a state of the world, with a deadline."""

    def wait(condition: Callable[[], object], complaint: str) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, complaint
            time.sleep(0.05)

    return wait


@pytest.fixture
def pids() -> Callable[[Path], list[int]]:
    """Give the ids of a cluster's keeper and components, by its directory."""

    def read(directory: Path) -> list[int]:
        record = records.read(directory)
        assert record is not None
        return [record.keeper.pid, *(process.pid for process in record.components.values())]

    return read
