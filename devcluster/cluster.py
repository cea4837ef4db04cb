"""Start and stop local clusters, and find those that run.

Each lives in a directory of its own under the state root, named for it. Whoever starts or removes one holds the lock of
its name meanwhile.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import secrets
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from devcluster import builds, launch, manifests, processes, records
from devcluster.api import Api
from devcluster.certificates import Authority, write_kubeconfig
from devcluster.manifests import Document
from devcluster.places import Busy, DevclusterError, UsageError, locked, state_root
from devcluster.records import LEVELS, Record, Request

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


class Cluster:
    """A running cluster, or one that was there before us (then `stop` leaves it alone)."""

    def __init__(
        self,
        directory: Path,
        record: Record | None = None,
        *,
        kubeconfig: Path | None = None,
        owned: launch.Owned | None = None,
    ) -> None:
        """Describe a cluster; `start` is how to get one."""
        self.directory = directory
        self.record = record
        self.kubeconfig = kubeconfig or records.kubeconfig(directory)
        self.server = record.server if record else Api.server_of(self.kubeconfig)
        self.registry = record.registry if record else None
        self.audit_log = records.audit_log(directory) if record and record.request.audit_log else None
        self.kubectl = builds.kubectl()
        self._owned = owned

    def __enter__(self) -> Self:
        """Use as a context manager."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the cluster."""
        self.stop()

    def stop(self) -> None:
        """End every process of the cluster and remove its directory; a second call does nothing."""
        if self.record is not None:
            stop(self.record.request.name)
        if self._owned is not None:
            child, pipe = self._owned
            self._owned = None
            os.close(pipe)
            child.wait()

    def environment(self) -> dict[str, str]:
        """Return the environment in which kubectl and client libraries find this cluster."""
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig)}

    def apply(self, source: Path | str | Iterable[Document]) -> None:
        """Apply objects by server-side apply: a YAML file, a directory of them, YAML text, or parsed objects.

        Raises:
            DevclusterError: the API server refuses one.
        """
        if isinstance(source, Path):
            documents = manifests.read_documents(source)
        elif isinstance(source, str):
            documents = manifests.parse_documents(source)
        else:
            documents = list(source)
        with Api.of(self.kubeconfig) as api:
            api.apply(documents)
            api.wait_established([item for item in documents if item["kind"] == "CustomResourceDefinition"], 30.0)

    def login(self, user: str, groups: Iterable[str] = ()) -> Path:
        """Write a kubeconfig for another user of this cluster, who has the rights RBAC gives, and return its path.

        Raises:
            UsageError: the cluster was there before us, so that its authority's key is not ours.
        """
        if self.record is None:
            raise UsageError("only a cluster started here can give logins")
        authority = Authority(self.directory / "pki", datetime.now(UTC))
        file = f"user-{secrets.token_hex(4)}"
        client = authority.client(file, user, groups)
        path = self.directory / "logins" / file
        path.parent.mkdir(exist_ok=True, mode=0o700)
        return write_kubeconfig(path, self.server, self.directory.name, authority.pair.certificate, client)

    def ensure_runner(self, namespace: str = "kubernaut-workflows", account: str = "kubernaut-workflow-runner") -> None:
        """Create the namespace of the runs and the account they run under."""
        metadata = {"name": account, "namespace": namespace}
        self.apply(
            [
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
                {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
            ]
        )


def start(
    level: records.Level = "api",
    *,
    name: str | None = None,
    tekton_crds: bool = False,
    audit_log: bool = False,
    listen: str | None = None,
    keep_logs: bool = False,
    registry_port: int = 0,
    detach: bool = False,
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
) -> Cluster:
    """Start a cluster and return when it can be used; `registry_port` 0 takes a free one.

    It ends with this process, even by kill -9, unless `detach` is set. What is not built yet is built first.

    Raises:
        UsageError: the name is taken, or an argument is wrong.
        DevclusterError: it cannot be built or does not start; the message ends with the log of what failed.
    """
    chosen = name or f"c-{secrets.token_hex(4)}"
    request = Request(chosen, level, tekton_crds, audit_log, listen, keep_logs, registry_port)
    _check(request)
    builds.ensure(level, tekton_crds=tekton_crds, say=say)
    remove_stale()
    with _lock(request.name):
        running = find(request.name)
        if running is not None:
            raise UsageError(f"cluster {request.name} runs already; choose another --name or run `down` first")
        directory = state_root() / request.name
        record, owned = launch.launch(directory, request, detach=detach)
        return Cluster(directory, record, owned=owned)


def use_existing(*, tekton_crds: bool = False) -> Cluster:
    """Return the cluster that KUBECONFIG names; nothing is started, and `stop` stops nothing.

    Raises:
        UsageError: KUBECONFIG names no file.
        DevclusterError: the API server does not answer.
    """
    named = os.environ.get("KUBECONFIG", "")
    kubeconfig = Path(named.split(os.pathsep)[0]) if named else None
    if kubeconfig is None or not kubeconfig.is_file():
        raise UsageError("--use-existing needs KUBECONFIG to name an existing file")
    cluster = Cluster(kubeconfig.parent, kubeconfig=kubeconfig)
    with Api.of(kubeconfig) as api:
        if not api.ready():
            raise DevclusterError(f"{cluster.server} (from KUBECONFIG) does not say that it is ready")
    if tekton_crds:
        builds.ensure(None, tekton_crds=True, say=lambda line: print(line, file=sys.stderr))
        cluster.apply(manifests.load(builds.prepared(manifests.CRDS)))
    return cluster


def find(name: str) -> Cluster | None:
    """Return the running cluster of that name, None when there is none."""
    directory = state_root() / name
    record = records.read(directory)
    return Cluster(directory, record) if record is not None and record.alive() else None


def stop(name: str, *, keep_logs: bool = False) -> bool:
    """End a cluster and remove its directory; return whether there was one."""
    directory = state_root() / name
    record = records.read(directory)
    if record is None:
        return False
    if record.alive():
        processes.end(record.keeper, launch.STOP_GRACE)
    with _lock(name):
        launch.remove(directory, keep_logs=keep_logs)
    return True


def names() -> list[str]:
    """Return the names of all clusters that have a directory."""
    root = state_root()
    return sorted(path.name for path in root.iterdir() if not path.name.startswith(".")) if root.is_dir() else []


def remove_stale() -> None:
    """Remove what clusters left whose keeper is gone; their logs are kept."""
    for name in names():
        with contextlib.suppress(Busy), _lock(name, wait=False):
            directory = state_root() / name
            record = records.read(directory)
            if record is None or not record.alive():
                launch.remove(directory, keep_logs=True)
    locks = state_root() / ".locks"
    for path in locks.iterdir() if locks.is_dir() else ():
        with contextlib.suppress(Busy), locked(path, wait=False):
            if not (state_root() / path.name).exists():
                path.unlink(missing_ok=True)


@contextlib.contextmanager
def _lock(name: str, *, wait: bool = True) -> Iterator[None]:
    with locked(state_root() / ".locks" / name, wait=wait):
        yield


def _check(request: Request) -> None:
    if not _NAME.fullmatch(request.name):
        raise UsageError(f"name={request.name}: allowed are up to 40 of a-z, 0-9 and -, no - at the ends")
    if request.level not in LEVELS:
        raise UsageError(f"level={request.level}: allowed are {', '.join(LEVELS)}")
    if request.listen is not None:
        _check_address(request.listen)


def _check_address(text: str) -> None:
    try:
        address = ipaddress.ip_address(text)
        if address.is_unspecified or address.is_multicast:
            raise ValueError
        with socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET) as probe:
            probe.bind((text, 0))
    except (ValueError, OSError) as error:
        raise UsageError(f"listen={text}: allowed is one IP address of this machine (see `ip address`)") from error
