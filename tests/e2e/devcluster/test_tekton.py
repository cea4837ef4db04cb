"""A bundle is resolved, scheduled, played and finished by the real Tekton, and ends as its annotations ask."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from devcluster import Cluster
from devcluster import annotations as pod

pytestmark = pytest.mark.real_tekton

Document = dict[str, Any]
Get = Callable[..., Document]
Condition = Callable[[str, str, str], Document]

NAMESPACE = "devcluster-runs"
_numbers = itertools.count(1)


def run(started: Cluster, bundle: str, asked: dict[str, str], **spec: object) -> str:
    """Create a PipelineRun from a bundle and return its name."""
    name = f"run-{next(_numbers)}"
    parameters = {"bundle": bundle, "name": "workflow", "kind": "pipeline"}
    reference = {
        "resolver": "bundles",
        "params": [{"name": key, "value": value} for key, value in parameters.items()],
    }
    started.apply(
        [
            {
                "apiVersion": "tekton.dev/v1",
                "kind": "PipelineRun",
                "metadata": {"name": name, "namespace": NAMESPACE, "annotations": asked},
                "spec": {
                    "pipelineRef": reference,
                    "taskRunTemplate": {"serviceAccountName": "runner"},
                    "timeouts": {"pipeline": "10m"},
                    **spec,
                },
            }
        ]
    )
    return name


def test_a_bundle_runs_on_the_node_and_succeeds(
    full_cluster: Cluster, bundle: str, get: Get, condition: Condition
) -> None:
    name = run(full_cluster, bundle, {})
    ended = condition("pipelinerun", name, "Succeeded")
    assert (ended["status"], ended["reason"]) == ("True", "Succeeded")
    (played,) = get("pod", "-l", f"tekton.dev/pipelineRun={name}")["items"]
    assert played["spec"]["nodeName"] == "devcluster"
    assert played["status"]["phase"] == "Succeeded"


@pytest.mark.parametrize(
    ("asked", "reason", "code"),
    [
        ({pod.OUTCOME: "exit", pod.EXIT_CODE: "3"}, "StepFailed", 3),
        ({pod.OUTCOME: "oom"}, "StepOOM", pod.OOM_EXIT_CODE),
        ({pod.OUTCOME: "image-pull"}, "TaskRunImagePullFailed", 1),
    ],
)
def test_a_run_fails_as_its_annotations_ask(
    full_cluster: Cluster, bundle: str, get: Get, condition: Condition, asked: dict[str, str], reason: str, code: int
) -> None:
    name = run(full_cluster, bundle, asked)
    assert condition("pipelinerun", name, "Succeeded")["reason"] == "Failed"
    (task,) = get("taskrun", "-l", f"tekton.dev/pipelineRun={name}")["items"]
    assert task["status"]["conditions"][0]["reason"] == reason
    assert task["status"]["steps"][0]["terminated"]["exitCode"] == code


def test_the_outcome_is_for_the_named_task_only(full_cluster: Cluster, bundle: str, condition: Condition) -> None:
    spared = run(full_cluster, bundle, {pod.OUTCOME: "exit", pod.TASK: "another"})
    meant = run(full_cluster, bundle, {pod.OUTCOME: "exit", pod.TASK: "restart"})
    assert condition("pipelinerun", spared, "Succeeded")["status"] == "True"
    assert condition("pipelinerun", meant, "Succeeded")["status"] == "False"


def test_a_hanging_run_meets_its_timeout(full_cluster: Cluster, bundle: str, condition: Condition) -> None:
    name = run(full_cluster, bundle, {pod.OUTCOME: "hang"}, timeouts={"pipeline": "2s"})
    assert condition("pipelinerun", name, "Succeeded")["reason"] == "PipelineRunTimeout"


def test_a_missing_bundle_is_told_without_the_webhook(full_cluster: Cluster, bundle: str, condition: Condition) -> None:
    name = run(full_cluster, bundle.replace(":v1", ":v2"), {})
    assert condition("pipelinerun", name, "Succeeded")["reason"] == "CouldntGetPipeline"


@pytest.mark.parametrize(("outcome", "ended"), [("success", "Complete"), ("exit", "Failed")])
def test_a_job_ends_as_its_annotations_ask(
    full_cluster: Cluster, bundle: str, condition: Condition, outcome: str, ended: str
) -> None:
    template = {
        "metadata": {"annotations": {pod.OUTCOME: outcome}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "workflow", "image": "busybox"}]},
    }
    name = f"job-{outcome}"
    full_cluster.apply(
        [
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": {"backoffLimit": 0, "template": template},
            }
        ]
    )
    assert condition("job", name, ended)["status"] == "True"
