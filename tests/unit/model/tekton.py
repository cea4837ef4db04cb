"""A model of Tekton and of the Job controller: what becomes of a run and its parts, each at an instant of its own."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from models.instants import format_instant
from models.names import ANNOTATION_UID
from tasks.adapters import paths
from tests.unit.model.api_server import Change, Document, ModelCluster

RUN_LABELS = {"pipelineruns": "tekton.dev/pipelineRun", "jobs": "batch.kubernetes.io/job-name"}
CHAINS = "chains.tekton.dev/finalizer"
Step = tuple[datetime, str, str, Callable[[], None]]


@dataclass(frozen=True, slots=True)
class Fate:
    """What happens to a run: how it ends, when, and how long its pod outlives a deletion."""

    end: str
    runs_for: timedelta
    grace: timedelta
    finalizer: timedelta | None


class ModelTekton:
    """Moves runs along. What is planned happens at its instant, or is dropped with the run it was meant for."""

    def __init__(self, cluster: ModelCluster, namespace: str, rng: random.Random, now: Callable[[], datetime]) -> None:
        self._cluster, self._namespace, self._rng, self._now = cluster, namespace, rng, now
        self.plan: list[Step] = []
        self._fates: dict[str, Fate] = {}
        self._kinds: dict[str, str] = {}
        cluster.listeners.append(self._heard)

    def next_instant(self) -> datetime | None:
        """Return when the next thing happens."""
        return min((at for at, *_ in self.plan), default=None)

    def ripe(self) -> list[Step]:
        """Return what may happen now."""
        now = self._now()
        return [step for step in self.plan if step[0] <= now]

    def carry_out(self, step: Step) -> str:
        """Let one planned thing happen; return its words."""
        self.plan.remove(step)
        step[3]()
        return f"{step[1]} {step[2]}"

    def task_runs_left(self, run_name: str) -> list[Document]:
        """Return the TaskRuns of all runs of a name."""
        label = f"{RUN_LABELS['pipelineruns']}={run_name}"
        return list(self._cluster.list(paths.task_runs(self._namespace), label_selector=label))

    def live_pods(self, run_name: str) -> list[Document]:
        """Return the pods of a run's name that have not ended."""
        found = []
        for label in RUN_LABELS.values():
            found += list(self._cluster.list(paths.pods(self._namespace), label_selector=f"{label}={run_name}"))
        return [pod for pod in found if pod["status"]["phase"] == "Running"]

    def _heard(self, change: Change) -> None:
        if change.plural not in RUN_LABELS:
            return
        if change.before is None and change.after is not None:
            self._kinds[change.after["metadata"]["uid"]] = change.plural
            self._created(change.after)
        elif change.before is not None:
            deleting = change.after is None or change.after["metadata"].get("deletionTimestamp")
            if deleting and not change.before["metadata"].get("deletionTimestamp"):
                self._deleted(change.before, gone=change.after is None)
            elif change.after is None:
                self._drop_task_runs(change.before)
            elif _cancelling(change.after) and not _cancelling(change.before):
                self._cancelled(change.after)

    def _created(self, run: Document) -> None:
        draw = self._rng
        if ANNOTATION_UID not in (run["metadata"].get("annotations") or {}):
            return
        end = draw.choices(("succeed", "fail", "refuse", "hang"), (5, 2, 4, 1))[0]
        seconds = draw.choice((0.2, 1, 4, 12)) if end != "hang" else draw.choice((40, 90))
        finalizer = timedelta(seconds=draw.choice((0.3, 2, 7))) if draw.random() < 0.3 else None
        fate = Fate(end, timedelta(seconds=seconds), timedelta(seconds=draw.choice((0, 0.5, 6))), finalizer)
        self._fates[run["metadata"]["uid"]] = fate
        if end == "refuse":
            self._later(fate.runs_for / 4, "refuses", run, lambda: self._finish(run, fate))
        else:
            self._later(timedelta(milliseconds=100), "starts", run, lambda: self._start(run, fate))

    def _cancelled(self, run: Document) -> None:
        """End a run that somebody asked to: soon, or so late that nobody waits for it."""
        fate = self._fates.get(run["metadata"]["uid"])
        if fate is not None:
            delay = timedelta(seconds=100 if fate.end == "hang" else self._rng.choice((0.1, 2, 8)))
            self._later(delay, "is cancelled", run, lambda: self._stop(run))

    def _stop(self, run: Document) -> None:
        if not self._stands(run):
            return
        name, uid = run["metadata"]["name"], run["metadata"]["uid"]
        pod = paths.item("v1", "pods", self._namespace, f"{name}-{uid}")
        if self._cluster.get(pod) is not None:
            self._cluster.remove(pod)
        now = format_instant(self._now())
        if self._kinds[uid] == "jobs":
            suspended = {"type": "Suspended", "status": "True", "lastTransitionTime": now}
            self._patch(run, {"status": {"active": 0, "ready": 0, "conditions": [suspended]}})
            return
        self._patch(run, {"status": {"completionTime": now, "conditions": [_condition("False", "Cancelled")]}})

    def _start(self, run: Document, fate: Fate) -> None:
        if not self._stands(run):
            return
        if fate.finalizer is not None:
            self._patch(run, {"metadata": {"finalizers": [CHAINS]}})
        name, uid = run["metadata"]["name"], run["metadata"]["uid"]
        kind = self._kinds[uid]
        labels = {RUN_LABELS[kind]: name, "tekton.dev/pipelineTask": "remediate"}
        owners = [{"uid": uid}]
        parts = (("taskruns", paths.task_runs), ("pods", paths.pods))
        for plural, path in parts if kind == "pipelineruns" else parts[1:]:
            metadata = {"name": f"{name}-{uid}", "labels": labels, "ownerReferences": owners}
            self._cluster.create(path(self._namespace), {"metadata": metadata, "status": _running_status(plural)})
        started: dict[str, Any] = {"startTime": format_instant(self._now())}
        going = {"active": 1, "ready": 1} if kind == "jobs" else {"conditions": [_condition("Unknown", "Running")]}
        self._patch(run, {"status": started | going})
        self._later(fate.runs_for, "ends", run, lambda: self._finish(run, fate))

    def _finish(self, run: Document, fate: Fate) -> None:
        if not self._stands(run):
            return
        name, uid = run["metadata"]["name"], run["metadata"]["uid"]
        part = paths.item("v1", "pods", self._namespace, f"{name}-{uid}")
        if self._kinds[uid] == "jobs":
            self._finish_job(run, fate, part)
            return
        if self._cluster.get(part) is not None:
            self._cluster.merge_patch(part, {"status": {"phase": "Succeeded"}}, subresource="status")
        if fate.end == "fail":
            failed = {"conditions": [_condition("False", "Failed")], "steps": [_failed_step(self._now())]}
            self._cluster.merge_patch(
                paths.task_run(self._namespace, f"{name}-{uid}"), {"status": failed}, subresource="status"
            )
        word, reason = {
            "fail": ("False", "Failed"),
            "refuse": ("False", "CouldntGetPipeline"),
        }.get(fate.end, ("True", "Succeeded"))
        ended = {"completionTime": format_instant(self._now()), "conditions": [_condition(word, reason)]}
        self._patch(run, {"status": ended})

    def _finish_job(self, run: Document, fate: Fate, pod: str) -> None:
        ends, now = fate.end in ("succeed", "hang"), format_instant(self._now())
        if self._cluster.get(pod) is not None:
            status: dict[str, Any] = {"phase": "Succeeded" if ends else "Failed"}
            if not ends:
                status["containerStatuses"] = [{"name": "workflow", "state": _failed_step(self._now())}]
            self._cluster.merge_patch(pod, {"status": status}, subresource="status")
        done = {"type": "Complete" if ends else "Failed", "status": "True", "lastTransitionTime": now}
        counted = {"succeeded": 1} if ends else {"failed": int(fate.end == "fail")}
        reason = "CompletionsReached" if ends else "BackoffLimitExceeded"
        ended = {"active": 0, "ready": 0, "conditions": [{**done, "reason": reason}], "completionTime": now}
        self._patch(run, {"status": ended | counted})

    def _deleted(self, run: Document, *, gone: bool) -> None:
        fate = self._fates.get(run["metadata"]["uid"])
        if fate is None:
            return
        if gone:
            self._drop_task_runs(run)
        elif fate.finalizer is not None:
            self._later(fate.finalizer, "lets go", run, lambda: self._let_go(run))
        pod = paths.item("v1", "pods", self._namespace, f"{run['metadata']['name']}-{run['metadata']['uid']}")
        if self._cluster.get(pod) is not None:
            self._later(fate.grace, "pod ends of", run, lambda: self._cluster.remove(pod))

    def _drop_task_runs(self, run: Document) -> None:
        """Let the garbage collector come round."""
        path = paths.task_run(self._namespace, f"{run['metadata']['name']}-{run['metadata']['uid']}")
        if self._cluster.get(path) is not None:
            delay = timedelta(seconds=self._rng.choice((0, 0.2, 3)))
            self._later(delay, "TaskRuns end of", run, lambda: self._cluster.remove(path))

    def _let_go(self, run: Document) -> None:
        self._patch(run, {"metadata": {"finalizers": None}})

    def _stands(self, run: Document) -> bool:
        """Say whether the run is there, has not ended and is not being deleted: Tekton cancels nothing by itself."""
        found = self._cluster.get(self._path(run))
        same = found is not None and found["metadata"]["uid"] == run["metadata"]["uid"]
        if found is not None and _ended(found):
            return False
        return same and found is not None and not found["metadata"].get("deletionTimestamp")

    def _patch(self, run: Document, body: dict[str, Any]) -> None:
        path = self._path(run)
        found = self._cluster.get(path)
        if found is not None and found["metadata"]["uid"] == run["metadata"]["uid"]:
            self._cluster.merge_patch(path, body, subresource="status" if "status" in body else "")

    def _path(self, run: Document) -> str:
        path = paths.job if self._kinds[run["metadata"]["uid"]] == "jobs" else paths.pipeline_run
        return path(self._namespace, run["metadata"]["name"])

    def _later(self, delay: timedelta, words: str, run: Document, happen: Callable[[], None]) -> None:
        self.plan.append((self._now() + delay, words, run["metadata"]["uid"], happen))


def _cancelling(run: Document) -> bool:
    spec = run.get("spec") or {}
    return bool(spec.get("status") or spec.get("suspend"))


def _ended(run: Document) -> bool:
    conditions = (run.get("status") or {}).get("conditions") or ()
    return any(c["status"] in ("True", "False") for c in conditions)


def _running_status(plural: str) -> dict[str, Any]:
    if plural == "pods":
        return {"phase": "Running"}
    return {"conditions": [_condition("Unknown", "Running")], "steps": [{"name": "act", "running": {}}]}


def _condition(status: str, reason: str) -> dict[str, str]:
    return {"type": "Succeeded", "status": status, "reason": reason, "message": f"the model's {reason}"}


def _failed_step(at: datetime) -> dict[str, Any]:
    ended = {"exitCode": 3, "reason": "Error", "startedAt": format_instant(at), "containerID": "c"}
    return {"name": "act", "terminated": ended}
