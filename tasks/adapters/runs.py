"""PipelineRuns, their TaskRuns and their pods in the execution namespace, as values.

Where Tekton's CRDs are not installed there simply are no runs; creating one is refused (ResourceAbsent).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from models.errors import Permanent
from models.names import LABEL_EXECUTION
from models.run import Run, read_run, run_secrets
from models.task_run import TaskRun, read_task_runs
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from tasks.adapters.cluster_errors import ResourceAbsent, Vanished
from tasks.adapters.pods import living_pods

LABEL_PIPELINE_RUN = "tekton.dev/pipelineRun"
log = logging.getLogger(__name__)

CANCEL_GENTLY = "CancelledRunFinally"
"""`spec.status` that lets running tasks stop and `finally` tasks run (pipelinerun_types.go)."""


class TektonRuns:
    """The Tekton half of the port `Runs`."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace

    def get(self, name: str) -> Run | None:
        """Return the run of that name, whoever owns it."""
        try:
            document = self._cluster.get(paths.pipeline_run(self._namespace, name))
        except ResourceAbsent:
            return None
        return None if document is None else read_run(document)

    def all(self) -> Iterator[Run]:
        """Yield every run that carries our label."""
        try:
            listed = self._cluster.list(paths.pipeline_runs(self._namespace), label_selector=LABEL_EXECUTION)
            for document in listed:
                try:
                    yield read_run(document)
                except (AttributeError, KeyError, TypeError, ValueError):
                    # A PipelineRun's status has no schema; one that somebody filled with nonsense must not keep
                    # Redis from being restored for all others.
                    log.exception("unreadable run %s", document.get("metadata", {}).get("name"))
        except ResourceAbsent:
            return

    def create(self, manifest: dict[str, Any]) -> Run:
        """Create a run. Raises AlreadyExists, or Permanent with the API server's reason."""
        path = paths.pipeline_runs(self._namespace)
        return read_run(self._cluster.create(path, manifest, hiding=run_secrets(manifest)))

    def delete(self, run: Run) -> Run | None:
        """Delete exactly this run; return it while something still keeps it, None once it is gone."""
        try:
            path = paths.pipeline_run(self._namespace, run.name)
            self._cluster.delete(path, uid=run.uid, hiding=run.secrets)
        except ResourceAbsent:
            return None
        return self.get(run.name)

    def cancel(self, run: Run) -> Run | None:
        """Ask exactly this run to end gently; return it, None when it is gone or another has its name."""
        body = {"metadata": {"uid": run.uid}, "spec": {"status": CANCEL_GENTLY}}
        try:
            path = paths.pipeline_run(self._namespace, run.name)
            return read_run(self._cluster.merge_patch(path, body, hiding=run.secrets))
        except (Vanished, ResourceAbsent):
            return None

    def task_runs(self, run: Run) -> tuple[TaskRun, ...]:
        """Return the TaskRuns of a run, in the order of their creation; none where they cannot be read for good.

        Their type may be gone meanwhile, or the API server refuses us: asking again would not help.
        """
        selector = f"{LABEL_PIPELINE_RUN}={run.name}"
        try:
            listed = list(self._cluster.list(paths.task_runs(self._namespace), label_selector=selector))
        except ResourceAbsent:
            return ()
        except Permanent as refused:
            log.warning("TaskRuns of run %s cannot be read: %s", run.name, refused)
            return ()
        return read_task_runs(listed, run)

    def remains(self, run_name: str) -> int:
        """Count the TaskRuns of a run, and its pods that have not ended.

        Asked when the run itself is gone: its children go after it, whenever the garbage collector comes round, and
        Tekton finds the TaskRuns of a run by their names, which the next run of this name has too.
        """
        selector = f"{LABEL_PIPELINE_RUN}={run_name}"
        living = living_pods(self._cluster, self._namespace, LABEL_PIPELINE_RUN, run_name)
        return self._task_runs_left(selector) + sum(1 for _ in living)

    def leftovers(self) -> Iterator[str]:
        """Yield the run names of all TaskRuns and living pods there are; a name may come more than once."""
        try:
            for task_run in self._cluster.list(paths.task_runs(self._namespace), label_selector=LABEL_PIPELINE_RUN):
                yield task_run["metadata"]["labels"][LABEL_PIPELINE_RUN]
        except ResourceAbsent:
            pass
        yield from living_pods(self._cluster, self._namespace, LABEL_PIPELINE_RUN)

    def _task_runs_left(self, selector: str) -> int:
        try:
            return sum(1 for _ in self._cluster.list(paths.task_runs(self._namespace), label_selector=selector))
        except ResourceAbsent:
            return 0
