"""The watcher as a whole: streams, publisher, election and endpoints, started and stopped together."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Protocol

from prometheus_client import CollectorRegistry

from models.freeze import FREEZE_NAME
from models.keys import Key
from models.names import LABEL_EXECUTION
from models.settings import Settings
from tasks import clock
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from tasks.waiting import wait_for_cluster
from watcher.coalesce import DirtyKeys, Publish, Publisher
from watcher.gauges import ClusterGauges, Stored
from watcher.health import Endpoint, deaf_streams, exposition, probe, register_streams, unlisted_streams
from watcher.leader import AlwaysLeading, LeaderElection
from watcher.reflector import Reflector
from watcher.resource import Resource, Timing
from watcher.route import execution_changed, execution_listed, freeze_changed, run_changed
from watcher.seen import SeenExecution, SeenFreeze, SeenRun, see_execution, see_freeze, see_job, see_run
from watcher.state import StreamState

STOP_WITHIN = 2.5  # seconds, all threads together

log = logging.getLogger(__name__)


class Election(Protocol):
    """Who publishes."""

    @property
    def leading(self) -> bool: ...

    def run(self) -> None: ...

    def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Outlets:
    """Where the watcher's findings go: keys that want a pass, and the wish for a resync; and what Redis holds now.

    All may raise Transient.
    """

    publish: Publish
    resync: Callable[[], None]
    stored: Callable[[], Stored]


class Watcher:
    """Everything one watcher process runs."""

    def __init__(
        self,
        settings: Settings,
        cluster: Cluster,
        outlets: Outlets,
        draw: Callable[[], float],
        *,
        identity: str,
        namespace: str,
        timing: Timing | None = None,
    ) -> None:
        self._timing = timing = timing or Timing()
        self._cluster = cluster
        self.stopping = threading.Event()
        self.states = (
            StreamState("workflowexecutions", required=True),
            StreamState("pipelineruns", required=False),
            StreamState("jobs", required=True),
            StreamState("freeze", required=True),
        )
        self._election: Election
        if settings.controller.leader_election:
            self._election = LeaderElection(cluster, namespace, identity, self._lead, draw)
        else:
            self._election = AlwaysLeading(self._lead)
        self._dirty = dirty = DirtyKeys()
        self._publisher = Publisher(dirty, outlets.publish, outlets.resync, lambda: self._election.leading, draw)
        executions = executions_resource(settings.execution.cooldown_period)
        runs, jobs = runs_resource(settings.execution.namespace), jobs_resource(settings.execution.namespace)
        # Who waited for Tekton, or for the end of a freeze, is told by nothing else.
        runs = replace(runs, appeared=self._publisher.request_resync)
        followed = Reflector(cluster, executions, dirty.add, self.states[0], draw, timing)
        freeze = freeze_resource(namespace)
        self._streams: dict[str, Reflector[Any]] = {
            "executions": followed,
            "runs": Reflector(cluster, runs, dirty.add, self.states[1], draw, timing),
            "jobs": Reflector(cluster, jobs, dirty.add, self.states[2], draw, timing),
            "freeze": Reflector(cluster, freeze, self._freeze_changed, self.states[3], draw, timing),
        }
        self._threads: list[threading.Thread] = []
        registry = CollectorRegistry()
        register_streams(registry, self.states)
        listed = self.states[0]
        registry.register(
            ClusterGauges(
                lambda: self._election.leading, lambda: followed.seen() if listed.listed else None, outlets.stored
            )
        )
        health, metrics = settings.controller.health_probe_addr, settings.controller.metrics_addr
        routes = {"/healthz": probe(self.problems), "/readyz": probe(lambda: unlisted_streams(self.states))}
        self.health = Endpoint(health.host, health.port, routes)
        self.metrics = Endpoint(metrics.host, metrics.port, {"/metrics": exposition(registry)})

    @property
    def leading(self) -> bool:
        """Whether this watcher publishes now."""
        return self._election.leading

    def problems(self) -> list[str]:
        """Name what a restart might mend: deaf streams and dead threads."""
        if not self._threads:
            return []
        dead = [f"thread {thread.name} has ended" for thread in self._threads if not thread.is_alive()]
        return deaf_streams(self.states, 2 * self._timing.read_timeout) + dead

    def run(self, start_deadline: float) -> None:
        """Watch until `stopping` is set. Raises TimeoutError when the API server or the CRD does not come."""
        try:
            if wait_for_cluster(self._cluster, self.stopping, start_deadline):
                self._start()
                self.stopping.wait()
        finally:
            self.close()

    def close(self) -> None:
        """Publish what goes at once, give up the Lease, close the streams and the ports."""
        self.stopping.set()
        deadline = clock.monotonic() + STOP_WITHIN
        for stream in self._streams.values():
            stream.stop()
        self._publisher.stop()
        self._join(deadline - 1, ("publisher",))
        # Last, so that nobody else begins to publish before this watcher has ended.
        self._election.stop()
        self._join(deadline, ("election", *self._streams))
        self.health.close()
        self.metrics.close()

    def _start(self) -> None:
        parts = {name: stream.run for name, stream in self._streams.items()} | {"publisher": self._publisher.run}
        if isinstance(self._election, AlwaysLeading):
            self._election.run()
        else:
            parts["election"] = self._election.run
        for name, run in parts.items():
            thread = threading.Thread(target=run, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def _join(self, deadline: float, names: Sequence[str]) -> None:
        for thread in self._threads:
            if thread.name in names:
                thread.join(max(deadline - clock.monotonic(), 0))

    def _lead(self) -> None:
        self._publisher.request_resync()

    def _freeze_changed(self, _key: Key, _hot: bool) -> None:
        """Have everybody looked at who may wait for its end; the freeze itself is audited by that resync too."""
        self._publisher.request_resync()


def executions_resource(cooldown: timedelta) -> Resource[SeenExecution]:
    """Return how executions are watched: in all namespaces."""
    return Resource(
        name="workflowexecutions",
        path=paths.executions(),
        selector="",
        see=see_execution,
        changed=execution_changed,
        listed=lambda before, after: execution_listed(before, after, clock.now(), cooldown),
    )


def runs_resource(namespace: str) -> Resource[SeenRun]:
    """Return how PipelineRuns are watched: in the execution namespace, those that name an execution."""
    return _of_runs("pipelineruns", paths.pipeline_runs(namespace), see_run)


def jobs_resource(namespace: str) -> Resource[SeenRun]:
    """Return how Jobs are watched: as PipelineRuns are."""
    return _of_runs("jobs", paths.jobs(namespace), see_job)


def _of_runs(name: str, path: str, see: Callable[[Mapping[str, Any]], SeenRun]) -> Resource[SeenRun]:
    return Resource(name=name, path=path, selector=LABEL_EXECUTION, see=see, changed=run_changed, listed=run_changed)


def freeze_resource(namespace: str) -> Resource[SeenFreeze]:
    """Return how the freeze is watched: the one ConfigMap of its name in the controller's namespace."""
    return Resource(
        name="freeze",
        path=paths.config_maps(namespace),
        selector="",
        fields=f"metadata.name={FREEZE_NAME}",
        see=see_freeze,
        changed=freeze_changed,
        listed=freeze_changed,
    )
