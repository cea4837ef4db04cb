"""Choose the ports and write the keys of one cluster before anything of it starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devcluster import records
from devcluster.certificates import Authority, new_key, write_kubeconfig
from devcluster.ports import free_ports
from devcluster.records import Request

LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Layout:
    """Files, ports and keys of one cluster, made before anything starts."""

    request: Request
    directory: Path
    authority: Authority
    address: str
    ports: dict[str, int]

    @property
    def server(self) -> str:
        """Return the URL of the API server."""
        return f"https://{_bracketed(self.address)}:{self.ports['apiserver']}"

    @property
    def registry(self) -> str:
        """Return host and port of the registry."""
        return f"{LOOPBACK}:{self.ports['registry']}"

    def login(self, user: str, *groups: str) -> Path:
        """Write a kubeconfig for a user of the cluster beside the others and return its path."""
        file = user.replace(":", "-")
        client = self.authority.client(file, user, groups)
        path = self.directory / "logins" / file
        path.parent.mkdir(exist_ok=True, mode=0o700)
        return write_kubeconfig(path, self.server, self.request.name, self.authority.pair.certificate, client)

    def ready_file(self, name: str) -> Path:
        """Return the file that a component writes when it works."""
        return self.directory / f"{name}.ready"


def lay_out(request: Request, directory: Path, authority: Authority) -> Layout:
    """Choose ports and write the keys, certificates and kubeconfig of a cluster."""
    address = request.listen or LOOPBACK
    names = ("etcd", "etcd-peer", "registry", "kwok")
    ports = dict(zip(names, free_ports(LOOPBACK, len(names)), strict=True))
    ports["registry"] = request.registry_port or ports["registry"]
    ports["apiserver"] = next(port for port in free_ports(address, 5) if port not in ports.values())
    layout = Layout(request, directory, authority, address, ports)
    records.logs(directory).mkdir(exist_ok=True)
    new_key(directory / "pki" / "service-accounts.key")
    # A user of system:masters is above RBAC; each has its own name, so that the audit log tells them apart.
    admin = authority.client("admin", "devcluster:admin", ["system:masters"])
    write_kubeconfig(records.kubeconfig(directory), layout.server, request.name, authority.pair.certificate, admin)
    return layout


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
