"""The run as we ask for it: the one place that knows what a PipelineRun of ours looks like (CONTRACT 2)."""

from __future__ import annotations

from typing import Any

from models.duration import ceil_seconds, format_duration, parse_duration
from models.execution import Execution
from models.names import (
    ANNOTATION_ATTEMPT,
    ANNOTATION_FENCE,
    ANNOTATION_TARGET,
    ANNOTATION_UID,
    LABEL_EXECUTION,
    LABEL_SOURCE_NAMESPACE,
    LABEL_TARGET,
    LABEL_WORKFLOW_ID,
    labels_and_annotations,
)
from models.policy import Policy
from models.target import run_name


def pipeline_run(execution: Execution, attempt: int, fence: int, policy: Policy) -> dict[str, Any]:
    """Return the PipelineRun of one attempt.

    It has no owner reference: it lives in another namespace, and the garbage collector would delete it.
    """
    spec = execution.spec
    labels, annotations = labels_and_annotations(
        {
            LABEL_EXECUTION: execution.key.name,
            LABEL_SOURCE_NAMESPACE: execution.key.namespace,
            LABEL_WORKFLOW_ID: spec.workflow_id,
            LABEL_TARGET: spec.target,
        }
    )
    annotations |= {
        ANNOTATION_TARGET: spec.target,
        ANNOTATION_UID: execution.uid,
        ANNOTATION_ATTEMPT: str(attempt),
        ANNOTATION_FENCE: str(fence),
    }
    parameters = [{"name": name, "value": value} for name, value in sorted(spec.parameters.items())]
    timeout = parse_duration(spec.timeout) if spec.timeout else policy.default_timeout
    bundle = f"{spec.image}@{spec.digest}" if spec.digest else spec.image
    return {
        "apiVersion": "tekton.dev/v1",
        "kind": "PipelineRun",
        "metadata": {
            "name": run_name(spec.target),
            "namespace": policy.namespace,
            "labels": labels,
            "annotations": annotations,
        },
        "spec": {
            "pipelineRef": {
                "resolver": "bundles",
                "params": [
                    {"name": "bundle", "value": bundle},
                    {"name": "name", "value": "workflow"},
                    {"name": "kind", "value": "pipeline"},
                ],
            },
            "params": [*parameters, {"name": "TARGET_RESOURCE", "value": spec.target}],
            "taskRunTemplate": {"serviceAccountName": policy.service_account},
            # Rounded up: Tekton takes 0s for "no timeout at all".
            "timeouts": {"pipeline": format_duration(ceil_seconds(timeout))},
        },
    }
