"""Keep what is known about one cluster in its directory, for the keeper and for everybody who asks about it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Literal

from devcluster.processes import Process

Level = Literal["api", "full"]
LEVELS: Final = ("api", "full")

_FILE: Final = "cluster.json"
_KEPT_LOGS: Final = 10
_REQUEST: Final = "request.json"


class Phase(StrEnum):
    """Where a cluster is in its life."""

    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class Request:
    """What a cluster was asked to be. `registry_port` is 0 for any; another port is no other cluster."""

    name: str
    level: Level = "api"
    tekton_crds: bool = False
    audit_log: bool = False
    listen: str | None = None
    keep_logs: bool = False
    registry_port: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Record:
    """What a cluster is: the request, its keeper, and where everything is once it is ready."""

    request: Request
    keeper: Process
    phase: Phase = Phase.STARTING
    message: str = ""
    server: str = ""
    registry: str | None = None
    components: dict[str, Process] = field(default_factory=dict)

    def alive(self) -> bool:
        """Tell whether the cluster's keeper still runs."""
        return self.keeper.alive()


def write_request(directory: Path, request: Request) -> None:
    """Leave for the keeper what the cluster is to be."""
    (directory / _REQUEST).write_text(json.dumps(asdict(request)))


def read_request(directory: Path) -> Request:
    """Return what the cluster is to be."""
    return Request(**json.loads((directory / _REQUEST).read_text()))


def write(directory: Path, record: Record) -> None:
    """Replace the record as a whole, so that a reader never sees half of one."""
    new = directory / f"{_FILE}.new"
    new.write_text(json.dumps(asdict(record), indent=1))
    os.replace(new, directory / _FILE)


def read(directory: Path) -> Record | None:
    """Return the record of a directory, None when there is none."""
    try:
        stored: dict[str, Any] = json.loads((directory / _FILE).read_text())
    except FileNotFoundError:
        return None
    stored["request"] = Request(**stored["request"])
    stored["keeper"] = Process(**stored["keeper"])
    stored["phase"] = Phase(stored["phase"])
    stored["components"] = {name: Process(**process) for name, process in stored["components"].items()}
    return Record(**stored)


def kubeconfig(directory: Path) -> Path:
    """Return where the administrator's kubeconfig of a cluster is."""
    return directory / "kubeconfig"


def logs(directory: Path) -> Path:
    """Return where the logs of a cluster's components are."""
    return directory / "logs"


def audit_log(directory: Path) -> Path:
    """Return where the API server writes its audit log, one JSON object a line."""
    return logs(directory) / "audit.jsonl"


def discard(directory: Path, *, keep_logs: bool) -> None:
    """Remove a cluster's directory; its logs move beside the clusters when they are to be kept."""
    if keep_logs and logs(directory).is_dir():
        kept = kept_logs(directory)
        shutil.rmtree(kept, ignore_errors=True)
        kept.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):
            logs(directory).replace(kept)
        older = sorted(kept.parent.iterdir(), key=lambda path: path.stat().st_mtime)[:-_KEPT_LOGS]
        for path in older:
            shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(directory, ignore_errors=True)


def kept_logs(directory: Path) -> Path:
    """Return where the logs of a cluster go when they outlive it."""
    return directory.parent / ".kept-logs" / directory.name
