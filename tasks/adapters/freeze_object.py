"""The ConfigMap whose existence freezes everything: read, kept until its end is audited, let go."""

from __future__ import annotations

from typing import Any

from models.freeze import FREEZE_AUDITED, FREEZE_FINALIZER, FREEZE_NAME
from models.keys import Key
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from tasks.adapters.cluster_errors import Vanished

Document = dict[str, Any]


class FreezeObject:
    """The freeze of one controller namespace. Writes compare-and-set on resourceVersion and raise Conflict."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._path = paths.config_map(namespace, FREEZE_NAME)
        # No Kubernetes name has a colon: no execution has this key.
        self.key = Key(namespace, f"freeze:{FREEZE_NAME}")

    def read(self) -> Document | None:
        """Return the ConfigMap, being deleted or not."""
        return self._cluster.get(self._path)

    def guard(self, document: Document) -> Document:
        """Add our finalizer, so that the end of this freeze can be audited."""
        return self._patch(document, {"finalizers": [*finalizers(document), FREEZE_FINALIZER]})

    def note_audited(self, document: Document) -> Document:
        """Note that DataStorage has the audit event of this freeze: it need not be sent any more."""
        return self._patch(document, {"annotations": {FREEZE_AUDITED: "true"}})

    def let_go(self, document: Document) -> None:
        """Take our finalizer away; an object that is gone already is what was wanted."""
        try:
            self._patch(document, {"finalizers": [f for f in finalizers(document) if f != FREEZE_FINALIZER]})
        except Vanished:
            return

    def _patch(self, document: Document, metadata: Document) -> Document:
        version = document["metadata"]["resourceVersion"]
        return self._cluster.merge_patch(self._path, {"metadata": {"resourceVersion": version, **metadata}})


def finalizers(document: Document) -> list[str]:
    """Return what keeps an object from going."""
    return list(document["metadata"].get("finalizers") or ())
