"""Runs of both engines behind one port; which half answers, the run, the manifest or the engine asked for says."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from models.execution import Engine
from models.run import Run
from models.task_run import TaskRun
from tasks.adapters.cluster import Cluster
from tasks.adapters.jobs import Jobs
from tasks.adapters.runs import TektonRuns


class ClusterRuns:
    """The port `Runs` on a real API server."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._tekton = TektonRuns(cluster, namespace)
        self._jobs = Jobs(cluster, namespace)

    def get(self, name: str, engine: Engine) -> Run | None:
        """Return the run of that name and engine, whoever owns it."""
        return self._of(engine).get(name)

    def all(self) -> Iterator[Run]:
        """Yield every run that carries our label."""
        return chain(self._tekton.all(), self._jobs.all())

    def create(self, manifest: dict[str, Any]) -> Run:
        """Create a run. Raises AlreadyExists, or Permanent with the API server's reason."""
        return self._of(Engine.JOB if manifest["kind"] == Engine.JOB.kind else Engine.TEKTON).create(manifest)

    def delete(self, run: Run) -> Run | None:
        """Delete exactly this run; return it while something still keeps it, None once it is gone."""
        return self._of(run.engine).delete(run)

    def cancel(self, run: Run, because: str = "") -> Run | None:
        """Ask exactly this run to end gently; return it, None when it is gone."""
        return self._jobs.stop(run, because) if run.engine is Engine.JOB else self._tekton.cancel(run)

    def task_runs(self, run: Run) -> tuple[TaskRun, ...]:
        """Return the TaskRuns of a run, or the pods of a Job, in the order of their creation."""
        return self._jobs.pods(run) if run.engine is Engine.JOB else self._tekton.task_runs(run)

    def remains(self, run_name: str) -> int:
        """Count the TaskRuns of runs of a name, and their pods that have not ended."""
        return self._tekton.remains(run_name) + self._jobs.remains(run_name)

    def leftovers(self) -> Iterator[str]:
        """Yield the run names of all TaskRuns and living pods there are; a name may come more than once."""
        return chain(self._tekton.leftovers(), self._jobs.leftovers())

    def _of(self, engine: Engine) -> TektonRuns | Jobs:
        return self._jobs if engine is Engine.JOB else self._tekton
