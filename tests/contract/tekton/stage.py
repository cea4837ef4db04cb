"""Play one run on either Tekton and tell what became of it, in words that both can share.

Normalised away: names, digests and addresses; what no container of the local cluster has (image ids); what the
scripted Tekton leaves out on purpose (labels, provenance).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from devcluster import bundle
from devcluster.cluster import Cluster
from devcluster.scripted.connection import MERGE_PATCH, Client, Refused, Server
from tests.waiting import until

NAMESPACE = "contract-runs"
ACCOUNT = "runner"
DEADLINE = 60.0  # seconds
LONG = "10m"
"""A time for a run that is not up while anybody looks."""

API = f"/apis/tekton.dev/v1/namespaces/{NAMESPACE}"


@dataclass(frozen=True, slots=True)
class Case:
    """A run to play. `bundle` is a tag of `contract/run`, see `bundles`, unless `image` names one; annotations have no
    prefix here.
    """

    name: str
    annotations: Mapping[str, str] = field(default_factory=dict)
    bundle: str = "tasks-1"
    timeout: str = LONG
    account: str = ACCOUNT
    cancel: str = ""
    image: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    pod_template: Mapping[str, Any] = field(default_factory=dict)
    mishap: Callable[[Stage, Case], None] | None = None
    """What befalls the run once it is there, see `mishaps`."""

    @property
    def run(self) -> str:
        """Name the run, with a name that no message holds by chance."""
        return f"run-{self.name}"


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a run."""

    seen: tuple[str, ...]
    """Each condition of the PipelineRun that a watch saw, as status/reason, repetitions left out."""
    message: str
    fields: frozenset[str]
    skipped: tuple[tuple[str, str], ...]
    children: tuple[tuple[str, str, str], ...]
    task_runs: tuple[tuple[str, str, str], ...]
    steps: tuple[tuple[str, str], ...]
    """Each step: its name, and "<exit code> <reason>: <message>", or nothing when it has no state."""
    owners: frozenset[str]


@dataclass(frozen=True, slots=True)
class Stage:
    """An API server with a Tekton, scripted or real, on it."""

    client: Client
    registry: str

    @classmethod
    def prepared(cls, cluster: Cluster) -> Stage:
        """Make the namespace and the account of the runs."""
        cluster.ensure_runner(NAMESPACE, ACCOUNT)
        return cls(Client(Server.read(cluster.kubeconfig)), cluster.registry or "127.0.0.1:1")

    def publish_bundles(self) -> None:
        """Publish what the cases name."""
        for name, documents in bundles().items():
            self.publish(name, documents)

    def publish(self, name: str, documents: list[dict[str, Any]]) -> None:
        """Publish a bundle that cases can name."""
        bundle.publish(self.registry, f"contract/run:{name}", documents)

    def play(self, case: Case) -> Ended:
        """Create the run of a case, wait until it and its TaskRuns have ended, and delete it."""
        created, run, task_runs = self.perform(case)
        ended = _ended(case, self._history(created), run, task_runs)
        self.client.request("DELETE", f"{API}/pipelineruns/{case.run}")
        return ended

    def perform(self, case: Case) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
        """Create the run of a case; return it as it was then, and with its TaskRuns as it ended."""
        created = self.client.request("POST", f"{API}/pipelineruns", self._run(case))
        path = f"{API}/pipelineruns/{case.run}"
        if case.cancel:
            self.await_running(case)
            self.client.request("PATCH", path, {"spec": {"status": case.cancel}}, MERGE_PATCH)
        if case.mishap is not None:
            case.mishap(self, case)
        until(lambda: self._is_over(case), DEADLINE, "the end")
        return created, self.client.request("GET", path), self.task_runs(case)

    def await_running(self, case: Case) -> None:
        """Wait until a container of a case is alive."""
        until(lambda: any("running" in s for s in _steps(self.task_runs(case))), DEADLINE, "a running step")

    def await_no_task_runs(self, case: Case) -> None:
        """Wait until the TaskRuns of a deleted run are gone, too."""
        until(lambda: not self.task_runs(case), DEADLINE, "its TaskRuns gone")

    def await_pods(self, *, taken: bool) -> None:
        """Wait until the API server takes pods of the runs, or does not: it hears of a quota or a label later."""
        container = {"name": "main", "image": "scripted/step:v1"}
        spec = {"serviceAccountName": ACCOUNT, "containers": [container]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe"}, "spec": spec}

        def takes() -> bool:
            try:
                self.client.request("POST", f"/api/v1/namespaces/{NAMESPACE}/pods?dryRun=All", pod)
            except Refused:
                return False
            return True

        until(lambda: takes() is taken, DEADLINE, f"pods are taken: {taken}")

    def _run(self, case: Case) -> dict[str, Any]:
        image = case.image or f"contract/run:{case.bundle}"
        params = {"bundle": f"{self.registry}/{image}", "name": "workflow", "kind": "pipeline"}
        return {
            "apiVersion": "tekton.dev/v1",
            "kind": "PipelineRun",
            "metadata": {
                "name": case.run,
                "annotations": {f"devcluster.kubernaut.ai/{k}": v for k, v in case.annotations.items()},
            },
            "spec": {
                "pipelineRef": {
                    "resolver": "bundles",
                    "params": [{"name": k, "value": v} for k, v in params.items()],
                },
                "taskRunTemplate": {
                    "serviceAccountName": case.account,
                    **({"podTemplate": dict(case.pod_template)} if case.pod_template else {}),
                },
                "timeouts": {"pipeline": case.timeout},
                "params": [{"name": k, "value": v} for k, v in case.params.items()],
            },
        }

    def task_runs(self, case: Case) -> list[dict[str, Any]]:
        query = urlencode({"labelSelector": f"tekton.dev/pipelineRun={case.run}"})
        found: list[dict[str, Any]] = self.client.request("GET", f"{API}/taskruns?{query}")["items"]
        return sorted(found, key=lambda task_run: str(task_run["metadata"]["name"]))

    def _is_over(self, case: Case) -> bool:
        run = self.client.request("GET", f"{API}/pipelineruns/{case.run}")
        return all(succeeded(item)["status"] in ("True", "False") for item in (run, *self.task_runs(case)))

    def _history(self, created: dict[str, Any]) -> tuple[str, ...]:
        """Watch again, from the creation on, what the run went through."""
        query = urlencode(
            {
                "watch": "1",
                "resourceVersion": created["metadata"]["resourceVersion"],
                "fieldSelector": f"metadata.name={created['metadata']['name']}",
                "timeoutSeconds": "60",
            }
        )
        seen: list[str] = []
        for event in self.client.stream(f"{API}/pipelineruns?{query}", DEADLINE):
            condition = succeeded(event["object"])
            told = f"{condition['status']}/{condition['reason']}"
            if condition["reason"] and told not in seen[-1:]:
                seen.append(told)
            if condition["status"] in ("True", "False"):
                break
        return tuple(seen)


def bundles() -> dict[str, list[dict[str, Any]]]:
    """Return the bundles of the cases: one to three tasks in a row, and one with a parameter that nobody gives."""
    return {
        **{f"tasks-{count}": [pipeline(count)] for count in (1, 2, 3)},
        "parameter": [pipeline(1, params=[{"name": "SCRIPTED", "type": "string"}])],
        "task-absent": [with_task(pipeline(1), taskSpec=None, taskRef={"name": "absent"})],
        "finally": [with_task(pipeline(2), final=True)],
    }


def with_task(document: dict[str, Any], *, final: bool = False, **changes: Any) -> dict[str, Any]:
    """Change the last task of a pipeline, or make it one that runs at the end."""
    last = document["spec"]["tasks"].pop()
    last = {name: value for name, value in {**last, **changes}.items() if value is not None}
    if final:
        del last["runAfter"]
    document["spec"].setdefault("finally" if final else "tasks", []).append(last)
    return document


def pipeline(count: int, params: list[dict[str, str]] | None = None) -> dict[str, Any]:
    step = {"name": "main", "image": "scripted/step:v1", "command": ["true"]}
    tasks: list[dict[str, Any]] = [
        {"name": f"task-{number}", "taskSpec": {"steps": [step]}} for number in range(1, count + 1)
    ]
    for before, after in itertools.pairwise(tasks):
        after["runAfter"] = [before["name"]]
    spec = {"tasks": tasks, **({"params": params} if params else {})}
    return {"apiVersion": "tekton.dev/v1", "kind": "Pipeline", "metadata": {"name": "workflow"}, "spec": spec}


def _ended(case: Case, seen: tuple[str, ...], run: dict[str, Any], task_runs: list[dict[str, Any]]) -> Ended:
    status = run["status"]
    return Ended(
        seen=seen,
        message=_shape(case, succeeded(run)["message"]),
        fields=frozenset(status) - {"provenance"},
        skipped=tuple((task["name"], task["reason"]) for task in status.get("skippedTasks") or ()),
        children=tuple(
            (child["kind"], _shape(case, child["name"]), child["pipelineTaskName"])
            for child in status.get("childReferences") or ()
        ),
        task_runs=tuple(
            (condition["status"], condition["reason"], _shape(case, condition["message"]))
            for condition in map(succeeded, task_runs)
        ),
        steps=tuple((step["name"], _shape(case, _told(step.get("terminated")))) for step in _steps(task_runs)),
        owners=frozenset(task_run["metadata"]["ownerReferences"][0]["kind"] for task_run in task_runs),
    )


def succeeded(item: Mapping[str, Any]) -> dict[str, str]:
    """Return the Succeeded condition of a PipelineRun or TaskRun, empty words while it has none."""
    for condition in (item.get("status") or {}).get("conditions") or ():
        if condition["type"] == "Succeeded":
            return dict(condition)
    return {"status": "", "reason": "", "message": ""}


def _steps(task_runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [step for task_run in task_runs for step in task_run.get("status", {}).get("steps") or ()]


def _told(terminated: Mapping[str, Any] | None) -> str:
    return f"{terminated['exitCode']} {terminated['reason']}: {terminated.get('message', '')}" if terminated else ""


def _shape(case: Case, message: str) -> str:
    text = message.replace(f"{NAMESPACE}/{case.run}", "<run>").replace(case.run, "<run>")
    text = re.sub(r"/bundles-[0-9a-z]+", "/bundles-<hash>", text)
    return re.sub(r"http://[\w.:-]+/", "http://<registry>/", text)
