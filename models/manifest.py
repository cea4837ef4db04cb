"""The run as we ask for it: the one place that knows what a PipelineRun or Job of ours looks like (CONTRACT 2)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from models.duration import ceil_seconds, format_duration, parse_duration
from models.execution import Engine, Execution, Spec
from models.job import CONTAINER
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


def run_manifest(execution: Execution, attempt: int, fence: int, policy: Policy) -> dict[str, Any]:
    """Return the run of one attempt, of the kind that the execution's engine asks for."""
    if execution.spec.engine is Engine.JOB:
        return job(execution, attempt, fence, policy)
    return pipeline_run(execution, attempt, fence, policy)


def pipeline_run(execution: Execution, attempt: int, fence: int, policy: Policy) -> dict[str, Any]:
    """Return the PipelineRun of one attempt."""
    spec = execution.spec
    parameters = [{"name": name, "value": value} for name, value in _parameters(spec).items()]
    return {
        "apiVersion": "tekton.dev/v1",
        "kind": Engine.TEKTON.kind,
        "metadata": _metadata(execution, attempt, fence, policy),
        "spec": {
            "pipelineRef": {
                "resolver": "bundles",
                "params": [
                    {"name": "bundle", "value": _pinned(spec)},
                    {"name": "name", "value": "workflow"},
                    {"name": "kind", "value": "pipeline"},
                ],
            },
            "params": parameters,
            "taskRunTemplate": {"serviceAccountName": policy.service_account},
            # Rounded up: Tekton takes 0s for "no timeout at all".
            "timeouts": {"pipeline": format_duration(_timeout(spec, policy))},
        },
    }


def job(execution: Execution, attempt: int, fence: int, policy: Policy) -> dict[str, Any]:
    """Return the Job of one attempt; it passes the Pod Security Standard "restricted" and starts no second pod."""
    metadata = _metadata(execution, attempt, fence, policy)
    spec = execution.spec
    container = {
        "name": CONTAINER,
        "image": _pinned(spec),
        "env": [{"name": name, "value": _literal(value)} for name, value in _parameters(spec).items()],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        # A container that fails without a word is shown with the end of its log.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    pod = {
        "restartPolicy": "Never",
        "serviceAccountName": policy.service_account,
        # Which user it is, the image says: one of our choice could not read what the image keeps for its own.
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": Engine.JOB.kind,
        "metadata": metadata,
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": int(_timeout(spec, policy).total_seconds()),
            "template": {
                "metadata": {"labels": metadata["labels"], "annotations": metadata["annotations"]},
                "spec": pod,
            },
        },
    }


def _metadata(execution: Execution, attempt: int, fence: int, policy: Policy) -> dict[str, Any]:
    """Return what both kinds have in common.

    No owner reference: the run lives in another namespace, and the garbage collector would delete it.
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
    return {
        "name": run_name(spec.target),
        "namespace": policy.namespace,
        "labels": labels,
        "annotations": annotations,
    }


def _parameters(spec: Spec) -> dict[str, str]:
    """Return the parameters by name, the target last."""
    return {**dict(sorted(spec.parameters.items())), "TARGET_RESOURCE": spec.target}


def _pinned(spec: Spec) -> str:
    """Return the image by its digest where one is declared; one that stands in the image already is not said twice."""
    return f"{spec.image.removesuffix(f'@{spec.digest}')}@{spec.digest}" if spec.digest else spec.image


def _timeout(spec: Spec, policy: Policy) -> timedelta:
    return ceil_seconds(parse_duration(spec.timeout) if spec.timeout else policy.default_timeout)


def _literal(value: str) -> str:
    """Keep the kubelet from reading $(NAME) in a value as a reference (core/v1 EnvVar: there $$ stands for $)."""
    return value.replace("$", "$$") if "$$" in value or "$(" in value else value
