"""Choose free ports, so that no two processes that choose at the same time choose the same. Seconds."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from devcluster.places import DevclusterError, cache_root, locked

# Below the range from which the kernel takes ports of outgoing connections, so that none of these takes a chosen one.
PORTS: Final = range(20000, 32000)
RESERVED_FOR: Final = 120.0
"""How long a chosen port is nobody else's: until whoever was told it listens."""


def free_ports(address: str, count: int, among: Sequence[int] = PORTS) -> list[int]:
    """Return ports that nothing listens on now, and that nobody of this user chose a short while ago."""
    reserved = cache_root() / "ports"
    found: list[int] = []
    with locked(reserved / ".lock"):
        chosen = _chosen(reserved)
        for port in random.sample(among, len(among)):
            if len(found) == count:
                break
            if port not in chosen and _is_free(address, port):
                (reserved / str(port)).touch()
                found.append(port)
    if len(found) < count:
        raise DevclusterError(f"no {count} free ports between {among[0]} and {among[-1]}: end something that listens")
    return found


def _chosen(reserved: Path) -> set[int]:
    """Return the ports that are reserved, and forget the others."""
    chosen = set()
    for file in reserved.glob("[0-9]*"):
        if file.stat().st_mtime + RESERVED_FOR < time.time():
            file.unlink()
        else:
            chosen.add(int(file.name))
    return chosen


def _is_free(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
