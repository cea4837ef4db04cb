"""The pods of runs, of either engine, that have not ended."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.adapters import paths
from tasks.adapters.cluster import Cluster

_ENDED = ("Succeeded", "Failed")


def living_pods(cluster: Cluster, namespace: str, label: str, run_name: str = "") -> Iterator[str]:
    """Yield the run name under `label` of each pod that has not ended: of one run, or of all that carry the label."""
    selector = f"{label}={run_name}" if run_name else label
    for pod in cluster.list(paths.pods(namespace), label_selector=selector):
        if (pod.get("status") or {}).get("phase") not in _ENDED:
            yield pod["metadata"]["labels"][label]
