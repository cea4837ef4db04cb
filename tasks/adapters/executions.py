"""WorkflowExecutions at the API server, as values. Reads are consistent; writes compare-and-set on resourceVersion."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from models.actions import EmitEvent, EventReason
from models.confidential import confidential, without
from models.execution import Execution, object_reference, read_execution
from models.instants import format_instant
from models.keys import Key
from models.names import API_VERSION, COMPONENT, FINALIZER, KIND
from models.status import Status
from models.status_document import status_patch
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from tasks.adapters.cluster_errors import AlreadyExists, Vanished

log = logging.getLogger(__name__)

EVENT_MESSAGE_MAX = 1024
"""What the API server allows in an Event's message (core/v1)."""


class ClusterExecutions:
    """The port `Executions` on a real API server."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def get(self, key: Key) -> Execution | None:
        """Return the execution as it is now, None when there is none of that name."""
        document = self._cluster.get(paths.execution(key))
        return None if document is None else read_execution(document)

    def all(self) -> Iterator[Execution]:
        """Yield every execution of every namespace."""
        for document in self._cluster.list(paths.executions()):
            try:
                yield read_execution(document)
            except Exception:
                # One object in a shape nobody expects must not keep all others from being restored.
                log.exception("%s cannot be read", document.get("metadata", {}).get("name"))

    def add_finalizer(self, execution: Execution) -> Execution:
        """Add our finalizer. Raises Conflict when the object changed since it was read."""
        return self._set_finalizers(execution, [*execution.finalizers, FINALIZER])

    def remove_finalizer(self, execution: Execution) -> None:
        """Take our finalizer away; an object that is gone already is what was wanted."""
        try:
            self._set_finalizers(execution, [name for name in execution.finalizers if name != FINALIZER])
        except Vanished:
            return

    def _set_finalizers(self, execution: Execution, finalizers: list[str]) -> Execution:
        metadata = {"resourceVersion": execution.resource_version, "finalizers": finalizers}
        return self._patch(execution, {"metadata": metadata})

    def patch_status(self, execution: Execution, status: Status) -> Execution:
        """Write what differs from the status that was read; nothing is sent when nothing does. Raises Conflict."""
        patch = status_patch(execution.status, status)
        if not patch:
            return execution
        body = {"metadata": {"resourceVersion": execution.resource_version}, "status": patch}
        return self._patch(execution, body, subresource="status")

    def _patch(self, execution: Execution, body: Mapping[str, Any], subresource: str = "") -> Execution:
        path, secrets = paths.execution(execution.key), confidential(execution.spec.parameters)
        return read_execution(self._cluster.merge_patch(path, body, subresource=subresource, hiding=secrets))

    def emit(self, execution: Execution, event: EmitEvent, now: datetime) -> None:
        """Create a Kubernetes Event; the API server refuses the second one of the same fact by its name."""
        secrets = confidential(execution.spec.parameters)
        body = _event_document(execution, event, without(event.message, secrets), now)
        self._create_event(execution.key.namespace, body, secrets)

    def complain(self, key: Key, message: str, now: datetime) -> None:
        """Tell what `Act.tell_trouble` tells, of an object that nobody could read: the same Event, so never twice."""
        document = self._cluster.get(paths.execution(key))
        if document is None:
            return
        uid, reason = str(document["metadata"]["uid"]), EventReason.FAILED
        reference = {"apiVersion": API_VERSION, "kind": KIND, "namespace": key.namespace, "name": key.name, "uid": uid}
        spec = document.get("spec")
        given = spec.get("parameters") if isinstance(spec, Mapping) else None
        secrets = confidential(given if isinstance(given, Mapping) else {})
        body = _event(reference, _derived(key, uid, reason, 0), reason, without(message, secrets), now)
        self._create_event(key.namespace, body, secrets)

    def _create_event(self, namespace: str, body: Mapping[str, Any], secrets: Sequence[str]) -> None:
        try:
            self._cluster.create(paths.kubernetes_events(namespace), body, hiding=secrets)
        except AlreadyExists:
            return


def _event_document(execution: Execution, event: EmitEvent, message: str, now: datetime) -> dict[str, Any]:
    return _event(object_reference(execution), event_name(execution, event), event.reason, message, now)


def _event(reference: Mapping[str, str], name: str, reason: EventReason, message: str, now: datetime) -> dict[str, Any]:
    instant = format_instant(now)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": reference["namespace"], "name": name},
        "involvedObject": dict(reference),
        "type": "Warning" if reason.warning else "Normal",
        "reason": reason.value,
        "message": message[:EVENT_MESSAGE_MAX],
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": COMPONENT,
        "firstTimestamp": instant,
        "lastTimestamp": instant,
        "count": 1,
    }


def event_name(execution: Execution, event: EmitEvent) -> str:
    """Derive an Event's name from what it tells: execution uid, reason, attempt."""
    return _derived(execution.key, execution.uid, event.reason, event.attempt)


def _derived(key: Key, uid: str, reason: EventReason, attempt: int) -> str:
    told = f"{uid}/{reason.value}/{attempt}"
    # A name may be cut where its last letter must not stand before a dot.
    return f"{key.name[:200].rstrip('-.')}.{hashlib.sha256(told.encode()).hexdigest()[:16]}"
