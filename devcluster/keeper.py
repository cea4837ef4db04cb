"""Start the processes of one cluster, watch them, and end them in their order: `python -m devcluster.keeper`.

The keeper is the only parent of the cluster's processes, and the kernel kills them when it dies, however it dies. It
has one thread, because that signal follows the thread that started a process. It ends itself when it is asked to
(SIGTERM), when a component dies, and, when it was started for a caller's own use, when that caller is gone.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Final

import httpx

from devcluster import builds, components, manifests, processes, records
from devcluster.api import Api, until
from devcluster.certificates import Authority
from devcluster.components import Component
from devcluster.layout import Layout, lay_out
from devcluster.places import DevclusterError
from devcluster.records import Phase, Record, Request

_START_TIMEOUT: Final = 60.0
_GRACE: Final = 5.0
_WATCH_EVERY: Final = 0.2


class Stopped(Exception):
    """End the cluster: somebody asked for it, or its owner is gone."""


class Keeper:
    """Hold the processes of one cluster."""

    def __init__(self, directory: Path, request: Request, owner: int | None) -> None:
        """Take over a directory; `owner` is the reading end of a pipe that the caller holds open while it lives."""
        self._directory = directory
        self._owner = owner
        self._parent = os.getppid()
        self._asked_to_stop = False
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._record = Record(request, processes.identify(os.getpid()))
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        self._tell()

    def run(self) -> None:
        """Start the cluster, stay until it has to end, end it."""
        failed = False
        try:
            self._start()
            self._tell(phase=Phase.READY)
            while True:
                self._watch(_WATCH_EVERY)
        except Stopped:
            self._tell(phase=Phase.STOPPING)
        except (DevclusterError, OSError, httpx.HTTPError) as error:
            failed = True
            self._tell(phase=Phase.FAILED, message=str(error))
        self._stop()
        if not failed:
            records.discard(self._directory, keep_logs=self._record.request.keep_logs)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._asked_to_stop = True

    def _start(self) -> None:
        request = self._record.request
        now = datetime.now(UTC)
        layout = lay_out(request, self._directory, Authority(self._directory / "pki", now))
        self._tell(server=layout.server)
        self._spawn(components.etcd(layout))
        self._spawn(components.apiserver(layout))
        if request.level == "full":
            self._spawn(components.registry(layout))
            self._tell(registry=layout.registry)
        with Api.of(records.kubeconfig(self._directory)) as api:
            self._wait(api.ready, "the API server is not ready")
            if request.level == "full":
                self._start_full(layout, api)
            elif request.tekton_crds:
                self._apply_crds(api)

    def _start_full(self, layout: Layout, api: Api) -> None:
        # First: the garbage collector looks for new types only every 30 s, and leaves their children alone until then.
        self._apply_crds(api)
        self._spawn(components.controller_manager(layout))
        self._spawn(components.scheduler(layout))
        self._spawn(components.kwok(layout))
        api.apply([{"apiVersion": "v1", "kind": "Node", "metadata": {"name": components.NODE}}])
        api.apply(manifests.load(builds.prepared(manifests.SETTINGS)))
        tekton = components.tekton(layout)
        for component in tekton:
            self._spawn(component)
        self._wait(lambda: _schedulable(api.get(f"/api/v1/nodes/{components.NODE}")), "the node is not ready")
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        self._wait(lambda: api.get(account), "there is no default service account")
        for component in tekton:
            self._wait(layout.ready_file(component.name).exists, f"{component.name} is not ready")

    def _apply_crds(self, api: Api) -> None:
        crds = list(manifests.load(builds.prepared(manifests.CRDS)))
        api.apply(crds)
        api.wait_established(crds, _START_TIMEOUT)

    def _spawn(self, component: Component) -> None:
        log = records.logs(self._directory) / f"{component.name}.log"
        self._running[component.name] = processes.spawn(component.command, log, component.environment)
        self._tell(components={name: processes.identify(child.pid) for name, child in self._running.items()})

    def _wait(self, condition: Callable[[], object], complaint: str) -> None:
        def watched() -> object:
            self._watch(0.0)
            return condition()

        until(watched, _START_TIMEOUT, complaint)

    def _watch(self, seconds: float) -> None:
        """Look after owner and components for a while.

        Raises:
            Stopped: the cluster has to end.
            DevclusterError: a component has died.
        """
        if self._owner is None:
            time.sleep(seconds)
        elif select.select([self._owner], [], [], seconds)[0] or os.getppid() != self._parent:
            raise Stopped
        if self._asked_to_stop:
            raise Stopped
        for name, child in self._running.items():
            if child.poll() is not None:
                end = processes.log_end(records.logs(self._directory) / f"{name}.log")
                raise DevclusterError(f"{name} ended with code {child.returncode}; its log ends:\n{end}")

    def _stop(self) -> None:
        # The API server does not end once etcd is gone, so it goes first; the clients of both go before.
        apiserver, etcd = (self._running.pop(name, None) for name in ("kube-apiserver", "etcd"))
        processes.stop(list(self._running.values()), _GRACE)
        if apiserver is not None:
            stored = etcd is not None and etcd.poll() is None
            processes.stop([apiserver], _GRACE if stored else 0.0)
        if etcd is not None:
            processes.stop([etcd], _GRACE)

    def _tell(self, **changes: object) -> None:
        self._record = replace(self._record, **changes)  # type: ignore[arg-type]
        records.write(self._directory, self._record)


def _schedulable(node: manifests.Document) -> bool:
    ready = [item["status"] for item in node.get("status", {}).get("conditions", []) if item["type"] == "Ready"]
    return ready == ["True"] and not node["spec"].get("taints")


def main() -> None:
    """Run the keeper of the directory named on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--owner", type=int, default=None)
    arguments = parser.parse_args()
    Keeper(arguments.directory, records.read_request(arguments.directory), arguments.owner).run()


if __name__ == "__main__":
    main()
