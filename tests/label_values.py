"""Every label of ours with the values it may have; `reason` is left to the status, whose reasons are a closed set."""

from __future__ import annotations

from tasks.adapters.datastorage import CAUSES

CLOSED = {
    "outcome": {"Completed", "Failed"},
    "result": {"done", "conflict", "transient", "refused", "error"},
    "kind": {"message", "line", "hold", "run"},
    "service": {"workflowexecution-controller"},
    "resource": {"workflowexecutions", "pipelineruns", "jobs", "freeze"},
    "tick": {"sweep", "resync"},
    "cause": set(CAUSES),
}
