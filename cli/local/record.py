"""What is known about a stack, in its directory: written before anything starts, so that nothing is ever forgotten."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from cli.local.parts import Addresses
from cli.local.places import Places, stacks_root
from cli.local.request import StackRequest, Tekton
from devcluster.processes import Process


class StackPhase(StrEnum):
    """Where a stack is in its life."""

    STARTING = "starting"
    READY = "ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A stack. `owned_cluster` names the local cluster that ends with it; empty when it uses another's."""

    request: StackRequest
    ports: Mapping[str, int]
    redis_server: str
    kubeconfig: str
    owned_cluster: str
    registry: str = ""
    phase: StackPhase = StackPhase.STARTING
    supervisor: Process | None = None
    socket: str = ""

    @property
    def addresses(self) -> Addresses:
        return Addresses(self.ports)

    def alive(self) -> bool:
        """Say whether its supervisord still runs."""
        return self.supervisor is not None and self.supervisor.alive()


def write(places: Places, record: Record) -> None:
    """Replace the record as a whole, so that a reader never sees half of one."""
    draft = places.record.with_suffix(".new")
    draft.write_text(json.dumps(asdict(record), indent=1))
    os.replace(draft, places.record)


def read(places: Places) -> Record | None:
    """Return the record of a directory, None when there is none."""
    try:
        stored: dict[str, Any] = json.loads(places.record.read_text())
    except FileNotFoundError:
        return None
    request = stored["request"]
    stored["request"] = StackRequest(**{**request, "tekton": Tekton(request["tekton"])})
    stored["phase"] = StackPhase(stored["phase"])
    stored["supervisor"] = Process(**stored["supervisor"]) if stored["supervisor"] else None
    return Record(**stored)


def places_of(name: str) -> Places:
    """Return where the stack of that name keeps its files."""
    return Places(stacks_root() / name)


def names() -> list[str]:
    """Return the names of all stacks that have a directory."""
    root = stacks_root()
    return sorted(path.name for path in root.iterdir() if not path.name.startswith(".")) if root.is_dir() else []


def running(name: str) -> Record | None:
    """Return the record of a stack that is ready and alive, None otherwise."""
    record = read(places_of(name))
    return record if record is not None and record.phase is StackPhase.READY and record.alive() else None


def log_files(places: Places) -> dict[str, Path]:
    """Return the logs by the name of their part."""
    return {path.stem: path for path in sorted(places.logs.glob("*.log"))}
