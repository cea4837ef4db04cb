"""Put a moment's writes on the API server.

A write is repeated until the server has taken it, so it must not matter when it arrives twice: creations have fixed
names, statuses are merged without a resourceVersion. A PipelineRun's status carries the run's uid, so that it never
lands on a later run of the same name.
"""

from __future__ import annotations

import contextlib
import http.client
import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from devcluster.scripted.connection import MERGE_PATCH, Client, Refused
from devcluster.scripted.course import Course
from devcluster.scripted.statuses import CreateTaskRun, PatchRun, PatchTaskRun, Write
from devcluster.scripted.task_statuses import Document

API: Final = "/apis/tekton.dev/v1"
RETRY_SECONDS: Final = 0.2
NOT_FOUND: Final = 404
CONFLICT: Final = 409
SERVER_ERROR: Final = 500

log = logging.getLogger(__name__)


class Abandoned(Exception):
    """The run is gone, another one has its name, or the server will never take the write."""


def runs_path(namespace: str | None) -> str:
    """Return the path of the PipelineRuns of a namespace, or of all."""
    return f"{API}/namespaces/{namespace}/pipelineruns" if namespace else f"{API}/pipelineruns"


def carry_out(client: Client, course: Course, write: Write) -> None:
    """Make one write of a course.

    Raises:
        Abandoned: it cannot be made any more.
    """
    match write:
        case CreateTaskRun(document):
            _create_task_run(client, course, document)
        case PatchTaskRun(name, status):
            _persist(client, "PATCH", f"{_task_runs(course.namespace)}/{name}/status", {"status": status})
        case PatchRun(status):
            body = {"metadata": {"uid": course.uid}, "status": status}
            _persist(client, "PATCH", f"{runs_path(course.namespace)}/{course.name}/status", body)


def delete_task_runs(client: Client, namespace: str, names: Iterable[str], owner: str) -> None:
    """Delete those TaskRuns that belong to a run (its uid) that has gone.

    Without a controller-manager nobody else does. Not by label: that would have the server read all TaskRuns.
    """
    for name in names:
        with contextlib.suppress(Abandoned):
            path = f"{_task_runs(namespace)}/{name}"
            task_run = _persist(client, "GET", path, None)
            if _owner(task_run) == owner:
                _delete(client, path, task_run)


def _create_task_run(client: Client, course: Course, document: Document) -> None:
    """Create a TaskRun, in place of one that an earlier run of this name left behind."""
    path = f"{_task_runs(course.namespace)}/{document['metadata']['name']}"
    while True:
        try:
            _persist(client, "POST", _task_runs(course.namespace), document)
            return
        except Abandoned as refused:
            if _status_of(refused) != CONFLICT:
                raise
        try:
            found = _persist(client, "GET", path, None)
            if _owner(found) == course.uid:
                return  # ours, from before a restart of the player
            _delete(client, path, found)
        except Abandoned as gone:
            # Whoever plays the earlier run's end was faster: the name is free now, or another's again.
            if _status_of(gone) not in (NOT_FOUND, CONFLICT):
                raise


def _status_of(abandoned: Abandoned) -> int:
    return abandoned.__cause__.status if isinstance(abandoned.__cause__, Refused) else 0


def _owner(task_run: Mapping[str, Any]) -> str:
    return "".join(
        owner["uid"] for owner in task_run["metadata"].get("ownerReferences") or () if owner.get("controller")
    )


def _delete(client: Client, path: str, task_run: Mapping[str, Any]) -> None:
    _persist(client, "DELETE", path, {"preconditions": {"uid": task_run["metadata"]["uid"]}})


def _task_runs(namespace: str) -> str:
    return f"{API}/namespaces/{namespace}/taskruns"


def _persist(client: Client, method: str, path: str, body: Any) -> Any:
    """Send a request until it is answered for good, and return the answer."""
    content_type = MERGE_PATCH if method == "PATCH" else "application/json"
    while True:
        try:
            return client.request(method, path, body, content_type)
        except Refused as refused:
            if refused.status < SERVER_ERROR:
                if refused.status not in (NOT_FOUND, CONFLICT):
                    log.error("%s %s: %s", method, path, refused)
                raise Abandoned(str(refused)) from refused
            log.warning("%s %s, tried again: %s", method, path, refused)
        except (OSError, http.client.HTTPException) as error:
            log.warning("%s %s, tried again: %s", method, path, str(error) or type(error).__name__)
        time.sleep(RETRY_SECONDS)
