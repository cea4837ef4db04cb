"""What befalls a run of the real controller that no annotation can ask for: bundles that are wrong, nodes that say so.

A node's word about a pod is put into the pod's status: of one that the local node plays, or of one that no node takes,
with which the local node does not interfere. Everything after that is Tekton's doing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from devcluster.scripted.connection import MERGE_PATCH, Refused
from tests.contract.tekton.stage import API, DEADLINE, NAMESPACE, Case, Stage, pipeline, succeeded, with_task
from tests.waiting import until

Document = dict[str, Any]
Mishap = Callable[[Stage, Case], None]

CORE = f"/api/v1/namespaces/{NAMESPACE}"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
NOWHERE = {"nodeSelector": {"kubernetes.io/hostname": "elsewhere"}}
BEGAN, ENDED = "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"
OUT_OF_TIME = '[{"key": "Reason", "value": "TimeoutExceeded", "type": 3}]'
"""How Tekton's entrypoint says in the termination message that a step's own timeout struck."""

STEP: Document = {"name": "main", "image": "scripted/step:v1", "command": ["true"]}
SIDECAR: Document = {"name": "log", "image": "scripted/log:v1", "command": ["true"]}
NEEDS_X: Document = {"params": [{"name": "x"}], "steps": [STEP]}
WRITES_R: Document = {"results": [{"name": "r"}], "steps": [STEP]}
"""A task that is to write a result; no container of the local node writes anything."""
OPTIONAL: Document = {"workspaces": [{"name": "w"}], "steps": [STEP]}


def wrong_bundles() -> Mapping[str, list[Document]]:
    """Return pipelines in which something is wrong, or that can show what goes wrong later."""
    made = {
        "workspace": _with(workspaces=[{"name": "shared"}]),
        "array": _with(params=[{"name": "LIST", "type": "array"}]),
        "keys": _with(
            params=[{"name": "MAP", "type": "object", "properties": {"a": {}, "b": {}}, "default": {"a": ""}}]
        ),
        "index": _with(
            with_task(pipeline(1), params=[{"name": "x", "value": "$(params.LIST[5])"}], taskSpec=NEEDS_X),
            params=[{"name": "LIST", "type": "array", "default": ["only"]}],
        ),
        "circle": with_task(pipeline(1), runAfter=["task-1"]),
        "result": with_task(
            pipeline(2), params=[{"name": "x", "value": "$(tasks.task-1.results.absent)"}], taskSpec=NEEDS_X
        ),
        "pipeline-result": _with(results=[{"name": "r", "value": "$(tasks.task-1.results.absent)"}]),
        "optional": _with(
            with_task(pipeline(1), workspaces=[{"name": "w", "workspace": "w"}], taskSpec=OPTIONAL),
            workspaces=[{"name": "w", "optional": True}],
        ),
        "matrix": with_task(pipeline(1), matrix={"params": [{"name": "x", "value": "no list"}]}, taskSpec=NEEDS_X),
        "task-parameter": with_task(pipeline(1), taskSpec=NEEDS_X),
        "step-absent": with_task(pipeline(1), taskSpec={"steps": [{"name": "main", "ref": {"name": "absent"}}]}),
        "sidecar": with_task(pipeline(1), taskSpec={"steps": [STEP], "sidecars": [SIDECAR]}),
        "too-big": with_task(
            pipeline(1), taskSpec={"steps": [{**STEP, "computeResources": {"requests": {"cpu": "100000"}}}]}
        ),
        "unwritten": _with(
            with_task(pipeline(1), taskSpec=WRITES_R), results=[{"name": "r", "value": "$(tasks.task-1.results.r)"}]
        ),
        "unwritten-used": _unwritten_used(),
        "two-tries": with_task(pipeline(1), retries=1),
    }
    return {name: [document] for name, document in made.items()}


def _with(document: Document | None = None, **spec: Any) -> Document:
    changed = document or pipeline(1)
    changed["spec"] |= spec
    return changed


def _unwritten_used() -> Document:
    uses = [{"name": "x", "value": "$(tasks.task-1.results.r)"}]
    changed = with_task(pipeline(2), params=uses, taskSpec=NEEDS_X)
    changed["spec"]["tasks"][0]["taskSpec"] = WRITES_R
    return changed


def ended(name: str, code: int, reason: str, message: str = "") -> Document:
    """Return the state of a container that ended."""
    state = {"exitCode": code, "reason": reason, "message": message, "startedAt": BEGAN, "finishedAt": ENDED}
    return _container(name, "sha256:1", terminated=state)


def waits(name: str, reason: str, message: str = "") -> Document:
    """Return the state of a container that was never alive."""
    return _container(name, "", waiting={"reason": reason, "message": message})


def _container(name: str, image_id: str, **state: Any) -> Document:
    return {"name": name, "image": "i", "imageID": image_id, "ready": False, "restartCount": 0, "state": state}


def failed(*containers: Document, **status: Any) -> Document:
    """Return the status of a pod that failed."""
    return {"phase": "Failed", "containerStatuses": list(containers), **status}


def pending(*containers: Document) -> Document:
    """Return the status of a pod that does not get going."""
    return {"phase": "Pending", "containerStatuses": list(containers)}


def node_says(*statuses: Document) -> Mishap:
    """Say of the first task's pod what its node would, and then of the pod of its next try."""

    def befall(stage: Stage, case: Case) -> None:
        if not case.pod_template:
            stage.await_running(case)
        for tried, status in enumerate(statuses):
            name = f"{case.run}-task-1-pod" + (f"-retry{tried}" if tried else "")
            until(lambda name=name: _pods(stage, case) == [name], DEADLINE, f"the pod {name}")  # type: ignore[misc]
            stage.client.request("PATCH", f"{CORE}/pods/{name}/status", {"status": status}, MERGE_PATCH)

    return befall


def time_is_up_when(reason: str, first: Mishap | None = None, limit: str = "1ms") -> Mishap:
    """Let the time of a run be up as soon as its task says what it waits for, or after a limit from its start."""

    def befall(stage: Stage, case: Case) -> None:
        if first is not None:
            first(stage, case)
        until(lambda: _reasons(stage, case) == [reason], DEADLINE, f"the task says {reason}")
        stage.client.request(
            "PATCH", f"{API}/pipelineruns/{case.run}", {"spec": {"timeouts": {"pipeline": limit}}}, MERGE_PATCH
        )

    return befall


def time_of_task_is_up(stage: Stage, case: Case) -> None:
    """Let the time of a task that runs be up, and not that of its run."""
    stage.await_running(case)
    stage.client.request("PATCH", f"{API}/taskruns/{case.run}-task-1", {"spec": {"timeout": "1ms"}}, MERGE_PATCH)


def cancel_task(stage: Stage, case: Case) -> None:
    """Cancel one task of a run, not the run."""
    stage.await_running(case)
    spec = {"status": "TaskRunCancelled", "statusMessage": "not today"}
    stage.client.request("PATCH", f"{API}/taskruns/{case.run}-task-1", {"spec": spec}, MERGE_PATCH)


def _pods(stage: Stage, case: Case) -> list[str]:
    return [str(task_run["status"].get("podName")) for task_run in stage.task_runs(case) if "status" in task_run]


def _reasons(stage: Stage, case: Case) -> list[str]:
    return [succeeded(task_run)["reason"] for task_run in stage.task_runs(case)]


@contextmanager
def no_pods(stage: Stage) -> Iterator[None]:
    """Let a quota of the namespace allow no pod."""
    body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    stage.client.request("POST", f"{CORE}/resourcequotas", body)
    path = f"{CORE}/resourcequotas/none"
    try:
        until(lambda: (stage.client.request("GET", path).get("status") or {}).get("hard"), DEADLINE, "the quota counts")
        stage.await_pods(taken=False)
        yield
    finally:
        stage.client.request("DELETE", path)
        stage.await_pods(taken=True)


@contextmanager
def no_task_runs(stage: Stage, case: Case) -> Iterator[None]:
    """Let an admission policy refuse the TaskRuns of one run."""
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": "no-tasks.test.example"}}
    rule = {"apiGroups": ["tekton.dev"], "apiVersions": ["*"], "resources": ["taskruns"], "operations": ["CREATE"]}
    refusal = {"expression": f"!object.metadata.name.startsWith('{case.run}')", "message": "no tasks today"}
    spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": [refusal]}
    binding = {"policyName": kind["metadata"]["name"], "validationActions": ["Deny"]}  # type: ignore[index]
    kinds = {
        "validatingadmissionpolicies": {**kind, "kind": "ValidatingAdmissionPolicy", "spec": spec},
        "validatingadmissionpolicybindings": {**kind, "kind": "ValidatingAdmissionPolicyBinding", "spec": binding},
    }
    for plural, body in kinds.items():
        stage.client.request("POST", f"{ADMISSION}/{plural}", body)
    try:
        until(lambda: not _takes_task_runs(stage, case), DEADLINE, "the policy rules")
        yield
    finally:
        for plural in kinds:
            stage.client.request("DELETE", f"{ADMISSION}/{plural}/no-tasks.test.example")


def _takes_task_runs(stage: Stage, case: Case) -> bool:
    metadata = {"name": f"{case.run}-probe"}
    body = {
        "apiVersion": "tekton.dev/v1",
        "kind": "TaskRun",
        "metadata": metadata,
        "spec": {"taskSpec": {"steps": [STEP]}},
    }
    try:
        stage.client.request("POST", f"{API}/taskruns?dryRun=All", body)
    except Refused:
        return False
    return True
