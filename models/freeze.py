"""The freeze: one ConfigMap that lets nothing new start anywhere, how it reads, and what the audit tells of it.

While it exists, and is not being deleted, no run is created; what runs already goes on. A finalizer keeps a deleted
one until DataStorage knows of its end, so that an unfreeze by plain `kubectl delete` is audited too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models.instants import parse_instant, read_instant
from models.names import COMPONENT, GROUP, REQUESTED_BY

FREEZE_NAME = "workflowexecution-freeze"
FREEZE_FINALIZER = f"workflowexecution.{GROUP}/freeze-audit"
UNFREEZE_REQUESTED_BY = f"{GROUP}/unfreeze-requested-by"
"""Annotation that says who unfreezes, written before the deletion; `requested-by` stays who froze."""
FREEZE_AUDITED = f"{GROUP}/freeze-audited"
"""Annotation of ours: DataStorage has the audit event of the freeze."""

REASON_MAX = 1024


@dataclass(frozen=True, slots=True)
class Freeze:
    """Why nothing new may start, by whom and since when. `uid` is the object's: another freeze is another object."""

    reason: str
    by: str
    since: datetime
    uid: str = ""


def freeze_document(reason: str, by: str, namespace: str) -> dict[str, Any]:
    """Return the ConfigMap that freezes; `namespace` is the controller's. Creating a second one is refused."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": FREEZE_NAME,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/part-of": COMPONENT},
            "annotations": {REQUESTED_BY: by},
            "finalizers": [FREEZE_FINALIZER],
        },
        "data": {"reason": reason},
    }


def unfreeze_patch(by: str) -> dict[str, Any]:
    """Return the merge patch that says who unfreezes; the deletion follows it."""
    return {"metadata": {"annotations": {UNFREEZE_REQUESTED_BY: by}}}


def read_freeze(document: Mapping[str, Any] | None) -> Freeze | None:
    """Read the freeze in force from the ConfigMap; None when there is none or it is being deleted."""
    metadata = (document or {}).get("metadata") or {}
    if not document or metadata.get("deletionTimestamp"):
        return None
    return Freeze(
        reason=str((document.get("data") or {}).get("reason") or "no reason given")[:REASON_MAX],
        by=str((metadata.get("annotations") or {}).get(REQUESTED_BY) or "unknown"),
        since=parse_instant(metadata["creationTimestamp"]),
        uid=metadata["uid"],
    )


def unfrozen_at(document: Mapping[str, Any]) -> datetime | None:
    """Return when somebody deleted the ConfigMap, None while the freeze is in force."""
    return read_instant((document.get("metadata") or {}).get("deletionTimestamp"))
