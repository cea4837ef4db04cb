"""One active watcher of several, by a Lease. Durations in seconds of the monotonic clock; instants only for people.

Not a lock: two watchers may publish for a moment, which costs passes and breaks nothing. An API server that does not
answer means "not renewed". Another's lease counts from when *we* saw it change, so that clocks need not agree.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from models.errors import Conflict, ExecutorError
from tasks import clock
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster

log = logging.getLogger(__name__)

LEASE_NAME = "workflowexecution-watcher"


@dataclass(frozen=True, slots=True)
class LeaseTiming:
    """client-go's figures: how long a lease holds, how long its owner tries to renew, and the pause between tries."""

    duration: float = 15.0
    renew_deadline: float = 10.0
    retry: float = 2.0
    call: float = 4.0
    release_call: float = 1.0


@dataclass(frozen=True, slots=True)
class LeaseView:
    """A Lease as read."""

    version: str
    holder: str
    duration: float
    transitions: int


class LeaderElection:
    """Takes, renews and releases the Lease in its own thread."""

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        identity: str,
        on_leading: Callable[[], None],
        draw: Callable[[], float],
        timing: LeaseTiming = LeaseTiming(),
    ) -> None:
        self._cluster = cluster.with_timeout(timedelta(seconds=timing.call))
        self._namespace = namespace
        self._path = paths.lease(namespace, LEASE_NAME)
        self._identity = identity
        self._on_leading = on_leading
        self._draw = draw
        self._timing = timing
        self._stop = threading.Event()
        self._leads = False
        self._renewed_at = 0.0
        self._seen: LeaseView | None = None
        self._seen_at = 0.0

    @property
    def leading(self) -> bool:
        """Whether this watcher leads now; turns false by itself when renewing hangs."""
        return self._leads and clock.monotonic() < self._renewed_at + self._timing.renew_deadline

    def run(self) -> None:
        """Take part until `stop`, then give the Lease up so that another need not wait for its end."""
        while not self._stop.is_set():
            self._round()
            jitter = 0.8 + 0.4 * self._draw()
            self._stop.wait(self._timing.retry * (1.0 if self._leads else jitter))
        if self._leads:
            self._release()

    def stop(self) -> None:
        """End `run` and release the Lease."""
        self._stop.set()

    def _round(self) -> None:
        started = clock.monotonic()
        renewed = self._try()
        if renewed:
            fresh = not self.leading
            self._renewed_at, self._leads = started, True
            if fresh:
                log.info("leading", extra={"identity": self._identity})
                self._on_leading()
        elif self._leads and not self.leading:
            self._leads = False
            log.warning("leadership lost", extra={"identity": self._identity})

    def _try(self) -> bool:
        """Renew or take the Lease; False when another has it or nobody answers."""
        try:
            if self._leads and self._seen is not None:
                return self._write(self._seen)
            return self._look_and_take()
        except Conflict:
            self._seen = None if self._leads else self._seen
            return False
        except ExecutorError as error:
            log.warning("lease not renewed", extra={"error": str(error), "leading": self._leads})
            return False

    def _look_and_take(self) -> bool:
        document = self._cluster.get(self._path)
        if document is None:
            created = self._cluster.create(paths.leases(self._namespace), self._new_lease())
            self._note(read_lease(created))
            return True
        view = read_lease(document)
        self._note(view)
        if view.holder not in ("", self._identity) and clock.monotonic() < self._seen_at + view.duration:
            if self._leads:
                log.warning("another watcher holds the lease", extra={"holder": view.holder})
                self._leads = False
            return False
        return self._write(view)

    def _note(self, view: LeaseView) -> None:
        if self._seen is None or self._seen.version != view.version:
            self._seen, self._seen_at = view, clock.monotonic()

    def _write(self, view: LeaseView) -> bool:
        now = _micro_time(clock.now())
        spec: dict[str, Any] = {"holderIdentity": self._identity, "renewTime": now}
        if view.holder != self._identity:
            taken = {"acquireTime": now, "leaseTransitions": view.transitions + 1}
            spec |= {**taken, "leaseDurationSeconds": int(self._timing.duration)}
        patch = {"metadata": {"resourceVersion": view.version}, "spec": spec}
        self._note(read_lease(self._cluster.merge_patch(self._path, patch)))
        return True

    def _new_lease(self) -> dict[str, Any]:
        now = _micro_time(clock.now())
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": LEASE_NAME, "namespace": self._namespace},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": int(self._timing.duration),
                "acquireTime": now,
                "renewTime": now,
                "leaseTransitions": 0,
            },
        }

    def _release(self) -> None:
        self._leads = False
        version = self._seen.version if self._seen is not None else None
        spec = {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _micro_time(clock.now())}
        patient = self._cluster.with_timeout(timedelta(seconds=self._timing.release_call))
        try:
            patient.merge_patch(self._path, {"metadata": {"resourceVersion": version}, "spec": spec})
            log.info("lease released", extra={"identity": self._identity})
        except ExecutorError as error:
            log.warning("lease not released", extra={"error": str(error)})


class AlwaysLeading:
    """Stands for an election where none is wanted (`controller.leader_election: false`)."""

    leading = True

    def __init__(self, on_leading: Callable[[], None]) -> None:
        self._on_leading = on_leading

    def run(self) -> None:
        """Lead."""
        self._on_leading()

    def stop(self) -> None:
        """There is nothing to give up."""


def read_lease(document: dict[str, Any]) -> LeaseView:
    """Read a Lease; what is missing counts as nobody's."""
    spec = document.get("spec") or {}
    return LeaseView(
        version=document["metadata"]["resourceVersion"],
        holder=spec.get("holderIdentity") or "",
        duration=float(spec.get("leaseDurationSeconds") or 0),
        transitions=int(spec.get("leaseTransitions") or 0),
    )


def _micro_time(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
