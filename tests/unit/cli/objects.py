"""Documents as the API server gives them, for tests of what is printed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from models.execution import Execution, read_execution

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
CREATED = "2026-03-01T11:59:00Z"


def document(name: str = "restart", *, status: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    """Return an execution that its watcher has noticed, unless `finalizers` says otherwise."""
    return {
        "apiVersion": "kubernaut.ai/v1alpha1",
        "kind": "WorkflowExecution",
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-{name}",
            "resourceVersion": "7",
            "creationTimestamp": CREATED,
            "finalizers": ["workflowexecution.kubernaut.ai/workflowexecution-cleanup"],
            **metadata,
        },
        "spec": {
            "remediationRequestRef": {"name": "web-crash-looping"},
            "workflowRef": {"workflowId": "restart-workload", "version": "1.0.0", "containerImage": "r/restart:v1"},
            "targetResource": "default/deployment/web",
        },
        "status": status or {},
    }


def execution(name: str = "restart", *, status: dict[str, Any] | None = None, **metadata: Any) -> Execution:
    """Return the same as a value."""
    return read_execution(document(name, status=status, **metadata))


def condition(kind: str, status: str, reason: str, message: str) -> dict[str, str]:
    """Return a condition that has just changed."""
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": CREATED}


def later(seconds: float) -> datetime:
    """Return an instant after NOW."""
    return NOW + timedelta(seconds=seconds)
