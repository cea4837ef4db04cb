"""The PipelineRun of one attempt, whole, as it is sent."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from models.execution import Execution, read_execution
from models.manifest import pipeline_run, run_manifest
from models.policy import Policy

TARGET = "payment/deployment/payment-api"
DIGEST = "sha256:" + "ab" * 32
POLICY = Policy(namespace="runs", service_account="the-runner", default_timeout=timedelta(minutes=20))


def declared(*, name: str = "again", **spec: Any) -> Execution:
    return read_execution(
        {
            "apiVersion": "kubernaut.ai/v1alpha1",
            "kind": "WorkflowExecution",
            "metadata": {
                "name": name,
                "namespace": "shop",
                "uid": "0a1b",
                "resourceVersion": "7",
                "creationTimestamp": "2026-03-01T11:59:00Z",
            },
            "spec": {
                "remediationRequestRef": {"name": "web-crash-looping"},
                "workflowRef": {
                    "workflowId": "restart-workload",
                    "version": "1.0.0",
                    "containerImage": "registry.example/restart:v1",
                    "containerDigest": DIGEST,
                },
                "targetResource": TARGET,
                "parameters": {"ZONE": "b", "GRACE": "30", "MODE": ""},
                "executionConfig": {"timeout": "90s", "serviceAccountName": "cluster-admin"},
                **spec,
            },
        }
    )


def test_the_whole_pipeline_run() -> None:
    wanted = {
        "apiVersion": "tekton.dev/v1",
        "kind": "PipelineRun",
        "metadata": {
            "name": "wfe-cf0cc089293b1165",
            "namespace": "runs",
            "labels": {
                "kubernaut.ai/workflow-execution": "again",
                "kubernaut.ai/source-namespace": "shop",
                "kubernaut.ai/workflow-id": "restart-workload",
                "kubernaut.ai/target-resource": "payment__deployment__payment-api",
            },
            "annotations": {
                "kubernaut.ai/target-resource": TARGET,
                "kubernaut.ai/execution-uid": "0a1b",
                "kubernaut.ai/attempt": "3",
                "kubernaut.ai/lock-fence": "41",
            },
        },
        "spec": {
            "pipelineRef": {
                "resolver": "bundles",
                "params": [
                    {"name": "bundle", "value": f"registry.example/restart:v1@{DIGEST}"},
                    {"name": "name", "value": "workflow"},
                    {"name": "kind", "value": "pipeline"},
                ],
            },
            "params": [
                {"name": "GRACE", "value": "30"},
                {"name": "MODE", "value": ""},
                {"name": "ZONE", "value": "b"},
                {"name": "TARGET_RESOURCE", "value": TARGET},
            ],
            "taskRunTemplate": {"serviceAccountName": "the-runner"},
            "timeouts": {"pipeline": "1m30s"},
        },
    }
    assert pipeline_run(declared(), 3, 41, POLICY) == wanted
    assert run_manifest(declared(), 3, 41, POLICY) == wanted


def test_the_timeout_is_the_configured_one_where_none_is_declared_and_never_none_at_all() -> None:
    assert timeout(executionConfig={}) == "20m0s"
    # Tekton takes 0s for "no timeout".
    assert timeout(executionConfig={"timeout": "1ms"}) == "1s"
    assert timeout(executionConfig={"timeout": "1500ms"}) == "2s"


def timeout(**spec: Any) -> str:
    written: str = pipeline_run(declared(**spec), 1, 1, POLICY)["spec"]["timeouts"]["pipeline"]
    return written


def test_a_long_name_is_cut_in_the_label_and_whole_in_the_annotation() -> None:
    name = "remediate-" + "a" * 60
    metadata = pipeline_run(declared(name=name), 1, 1, POLICY)["metadata"]
    assert metadata["labels"]["kubernaut.ai/workflow-execution"] == "remediate-" + "a" * 44 + "-03a62c14"
    assert metadata["annotations"]["kubernaut.ai/workflow-execution"] == name
