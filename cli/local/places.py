"""Where a local stack keeps its files, and on which ports its parts listen. Loopback only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from devcluster.layout import LOOPBACK
from devcluster.places import state_root
from devcluster.ports import free_ports

__all__ = ["LOOPBACK", "Places", "choose_ports", "fits_socket", "stacks_root"]

_LONGEST_SOCKET_PATH = 100  # bytes; the kernel takes 107


def stacks_root() -> Path:
    """Return the directory that holds one directory for each stack."""
    return state_root().parent / "local"


@dataclass(frozen=True, slots=True)
class Places:
    """The files of one stack."""

    root: Path

    @property
    def record(self) -> Path:
        return self.root / "stack.json"

    @property
    def settings(self) -> Path:
        return self.root / "settings.yaml"

    @property
    def kubeconfig(self) -> Path:
        """The login of the parts, where they have one of their own."""
        return self.root / "executor.kubeconfig"

    @property
    def supervisor_config(self) -> Path:
        return self.root / "supervisord.conf"

    @property
    def supervisor_log(self) -> Path:
        return self.logs / "supervisord.log"

    @property
    def flower_password(self) -> Path:
        return self.root / "flower-password"

    @property
    def tokens(self) -> Path:
        """Whom DataStorage knows."""
        return self.root / "audit-tokens"

    @property
    def write_token(self) -> Path:
        """What the executor stores audit events with."""
        return self.root / "audit-write-token"

    @property
    def read_token(self) -> Path:
        """What `wfe` reads the audit, and sets and lifts holds, with."""
        return self.root / "audit-read-token"

    @property
    def audit_key(self) -> Path:
        """What DataStorage signs checkpoints with."""
        return self.root / "audit-key"

    @property
    def audit_public_key(self) -> Path:
        return self.root / "audit-key.pub"

    @property
    def anchor(self) -> Path:
        return self.root / "audit-anchor"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def storage(self) -> Path:
        return self.root / "storage"

    @property
    def empty(self) -> Path:
        """The working directory of every part: Celery puts the current directory first on sys.path."""
        return self.root / "empty"

    def log(self, part: str) -> Path:
        return self.logs / f"{part}.log"

    def make(self) -> None:
        """Create the directories, for this user alone."""
        self.root.mkdir(parents=True, mode=0o700, exist_ok=True)
        self.root.chmod(0o700)
        for directory in (self.logs, self.storage, self.empty):
            directory.mkdir(exist_ok=True)


def fits_socket(path: Path) -> bool:
    """Say whether a Unix socket can have this path."""
    return len(str(path).encode()) <= _LONGEST_SOCKET_PATH


def choose_ports(wanted: Sequence[str], given: Mapping[str, int]) -> dict[str, int]:
    """Return a port for each name: the given one, else one that is free now."""
    free = iter(free_ports(LOOPBACK, len(wanted) + len(given)))
    taken = set(given.values())
    return {name: given.get(name) or next(port for port in free if port not in taken) for name in wanted}
