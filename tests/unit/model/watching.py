"""The watcher of the model: the real routing over the model's watch log, restarted with an empty memory."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from models.errors import Transient
from models.freeze import read_freeze
from models.keys import Key
from models.names import LABEL_EXECUTION
from models.policy import Policy
from tasks.publish import Publisher
from tests.unit.model.api_server import Change, Document, ModelCluster
from watcher.route import execution_changed, execution_listed, run_changed
from watcher.seen import SeenExecution, SeenRun, see_execution, see_job, see_run

SEE = {"pipelineruns": see_run, "jobs": see_job}


class ModelWatcher:
    """Routes changes in their order; keys stay dirty until they were published."""

    def __init__(
        self, cluster: ModelCluster, publisher: Publisher, now: Callable[[], datetime], policy: Policy
    ) -> None:
        self._cluster, self._publisher, self._now, self._policy = cluster, publisher, now, policy
        self.restart()

    def restart(self) -> None:
        """Begin as a new process: a list comes first, and a resync."""
        self._executions: dict[str, SeenExecution] = {}
        self._runs: dict[str, SeenRun] = {}
        self._dirty: dict[Key, None] = {}
        self._cursor = len(self._cluster.log)
        self._started = False
        self._resync = False

    @property
    def behind(self) -> bool:
        """Whether there is anything to do."""
        return not self._started or self._resync or bool(self._dirty) or self._cursor < len(self._cluster.log)

    def poll(self) -> None:
        """Route what came, and publish."""
        try:
            if not self._started:
                self._list()
                self._publisher.resync()
                self._started = True
            changes = self._cluster.log[self._cursor : self._cursor + 5]
            for change in changes:
                self._route(change)
            self._cursor += len(changes)
            self._publisher.wake(list(self._dirty))
            self._dirty.clear()
            if self._resync:
                self._publisher.resync()
                self._resync = False
        except Transient:
            return

    def _list(self) -> None:
        self._cursor = len(self._cluster.log)
        for (plural, _, _), document in list(self._cluster.objects.items()):
            if plural == "workflowexecutions":
                execution = see_execution(document)
                if execution_listed(None, execution, self._now(), self._policy.cooldown):
                    self._dirty[execution.key] = None
                self._executions[execution.uid] = execution
            elif plural in SEE and _ours(document):
                run = SEE[plural](document)
                if run.key is not None and run_changed(None, run):
                    self._dirty[run.key] = None
                self._runs[run.uid] = run

    def _route(self, change: Change) -> None:
        if change.plural == "configmaps":
            self._resync = self._resync or _in_force(change.before) != _in_force(change.after)
        elif change.plural == "workflowexecutions":
            self._route_execution(change)
        elif change.plural in SEE and _ours(change.after or change.before or {}):
            self._route_run(change)

    def _route_execution(self, change: Change) -> None:
        seen = see_execution(change.after or change.before or {})
        before = self._executions.pop(seen.uid, None)
        if change.after is not None:
            self._executions[seen.uid] = seen
        if change.after is None or execution_changed(before, seen):
            self._dirty[seen.key] = None

    def _route_run(self, change: Change) -> None:
        seen = SEE[change.plural](change.after or change.before or {})
        before = self._runs.pop(seen.uid, None)
        if change.after is not None:
            self._runs[seen.uid] = seen
        if seen.key is not None and (change.after is None or run_changed(before, seen)):
            self._dirty[seen.key] = None


def _in_force(document: Document | None) -> bool:
    return read_freeze(document) is not None


def _ours(document: Document) -> bool:
    return LABEL_EXECUTION in (document["metadata"].get("labels") or {})
