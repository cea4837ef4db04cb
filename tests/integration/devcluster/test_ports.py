"""Ports that two choose at the same time, as two stacks that start beside each other do."""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from devcluster.places import DevclusterError
from devcluster.ports import RESERVED_FOR, free_ports

LOOPBACK = "127.0.0.1"


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WFE_CACHE_DIR", str(tmp_path))
    return tmp_path / "ports"


def test_nobody_chooses_what_another_just_chose(own_cache: Path) -> None:
    among = range(31900, 31980)
    with ThreadPoolExecutor(8) as pool:
        chosen = [port for ports in pool.map(lambda _: free_ports(LOOPBACK, 5, among), range(8)) for port in ports]
    assert len(set(chosen)) == 40
    for port in chosen:
        old = (own_cache / str(port)).stat().st_mtime - RESERVED_FOR - 1
        os.utime(own_cache / str(port), (old, old))
    assert set(free_ports(LOOPBACK, 60, among)) & set(chosen), "what was not used is free again"


def test_what_somebody_listens_on_is_not_chosen(own_cache: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(DevclusterError, match="no 1 free ports"):
            free_ports(LOOPBACK, 1, [port])
    assert free_ports(LOOPBACK, 1, [port]) == [port]
    assert own_cache.is_dir()
