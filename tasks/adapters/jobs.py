"""Jobs and their pods in the execution namespace, as values."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from models.errors import Permanent
from models.job import FAILED_CREATE, hidden_pod, job_secrets, read_job, read_job_pods, refused_pod
from models.names import ANNOTATION_STOPPED, LABEL_EXECUTION
from models.run import Run
from models.task_run import TaskRun
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from tasks.adapters.cluster_errors import Vanished
from tasks.adapters.pods import living_pods

LABEL_JOB = "batch.kubernetes.io/job-name"
CANCELLED = "Cancelled"
BECAUSE_MAX = 1000

log = logging.getLogger(__name__)


class Jobs:
    """The Job half of the port `Runs`."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace

    def get(self, name: str) -> Run | None:
        """Return the Job of that name, whoever owns it."""
        document = self._cluster.get(paths.job(self._namespace, name))
        return None if document is None else read_job(document)

    def all(self) -> Iterator[Run]:
        """Yield every Job that carries our label."""
        for document in self._cluster.list(paths.jobs(self._namespace), label_selector=LABEL_EXECUTION):
            yield read_job(document)

    def create(self, manifest: dict[str, Any]) -> Run:
        """Create a Job. Raises AlreadyExists, or Permanent with the API server's reason."""
        return read_job(self._cluster.create(paths.jobs(self._namespace), manifest, hiding=job_secrets(manifest)))

    def delete(self, run: Run) -> Run | None:
        """Delete exactly this Job; return it while something still keeps it, None once it is gone.

        The garbage collector takes its pods afterwards: with the API server's default for Jobs they would stay.
        """
        path = paths.job(self._namespace, run.name)
        self._cluster.delete(path, uid=run.uid, propagation="Background", hiding=run.secrets)
        return self.get(run.name)

    def stop(self, run: Run, because: str) -> Run | None:
        """Suspend exactly this Job, which removes its pods, and note why; return it, None when it is gone."""
        noted = {ANNOTATION_STOPPED: (because or CANCELLED)[:BECAUSE_MAX]}
        body = {"metadata": {"uid": run.uid, "annotations": noted}, "spec": {"suspend": True}}
        try:
            return read_job(self._cluster.merge_patch(paths.job(self._namespace, run.name), body, hiding=run.secrets))
        except Vanished:
            return None

    def pods(self, run: Run) -> tuple[TaskRun, ...]:
        """Return the pods of a Job as its tasks; where there is none, what the API server said to the last try.

        Where it refuses to show them, whether a task has started is unknown, which counts as yes.
        """
        try:
            listed = list(self._cluster.list(paths.pods(self._namespace), label_selector=f"{LABEL_JOB}={run.name}"))
        except Permanent as refused:
            log.warning("pods of Job %s cannot be read: %s", run.name, refused)
            return () if run.succeeded is False else (hidden_pod(run),)
        found = read_job_pods(listed, run)
        return found or tuple(refused_pod(run, message) for message in self._refusals(run)[-1:])

    def remains(self, run_name: str) -> int:
        """Count the pods of Jobs of a name that have not ended."""
        return sum(1 for _ in living_pods(self._cluster, self._namespace, LABEL_JOB, run_name))

    def leftovers(self) -> Iterator[str]:
        """Yield the Job of each living pod there is; a name may come more than once."""
        return living_pods(self._cluster, self._namespace, LABEL_JOB)

    def _refusals(self, run: Run) -> list[str]:
        selector = f"involvedObject.uid={run.uid},reason={FAILED_CREATE}"
        try:
            told = list(self._cluster.list(paths.kubernetes_events(self._namespace), field_selector=selector))
        except Permanent:
            return []
        told.sort(key=lambda event: event.get("lastTimestamp") or event["metadata"]["creationTimestamp"])
        return [event.get("message") or "" for event in told]
