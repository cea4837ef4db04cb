"""Whether an API server lets pass what nobody signed. It hears of an admission policy that goes a moment later."""

from __future__ import annotations

from pathlib import Path

from models.errors import Permanent, Transient
from models.names import API_VERSION, ASK_CANCEL, KIND
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from tests.waiting import until


def await_unsigned_taken(kubeconfig: str | Path) -> None:
    """Wait until deploy/admission.yaml, which was deleted, does not rule any more."""
    cluster = Cluster.connect(str(kubeconfig))
    until(lambda: _taken(cluster), 60, "the admission policy does not rule any more")


def _taken(cluster: Cluster) -> bool:
    workflow = {"workflowId": "w", "version": "1", "containerImage": "registry.example/w:1"}
    body = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": "unsigned", "annotations": {ASK_CANCEL: "x"}},
        "spec": {"remediationRequestRef": {"name": "rr"}, "workflowRef": workflow, "targetResource": "node/unsigned"},
    }
    try:
        cluster.create(paths.executions("default"), body, dry_run=True)
    except (Permanent, Transient):
        return False
    return True
