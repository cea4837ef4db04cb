"""What is true of the whole cluster: the freeze, the engines it serves, whether admission vouches for requesters.

Answers are kept for a few seconds and asked for anew by whoever needs one, so an idle process asks nothing. An answer
that keeps an execution waiting counts only for those who came before it was asked for: what wakes who waits is its end,
and an answer from before that would let him wait on. Who comes together shares one.
Thread-safe. Seconds of the monotonic clock.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from models.errors import ExecutorError, Transient
from models.execution import Engine
from models.freeze import FREEZE_NAME, Freeze, read_freeze
from tasks import clock
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from tasks.adapters.cluster_errors import ResourceAbsent

ADMISSION_NAME = "workflowexecution-requested-by"
"""The ValidatingAdmissionPolicy of deploy/ that makes the requested-by annotation true, and its binding."""

FREEZE_FRESH, FREEZE_KNOWN = 2.0, 4.0
ADMISSION_FRESH = 10.0

T = TypeVar("T")
log = logging.getLogger(__name__)


class ClusterSurroundings:
    """The port `Surroundings` on a real API server; `namespace` is the controller's."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self.freeze_path = paths.config_map(namespace, FREEZE_NAME)
        self._freeze = _Remembered(self._read_freeze, FREEZE_KNOWN)
        self._tekton = _Remembered(self._read_tekton, FREEZE_KNOWN, first=True)
        self._admission = _Remembered(self._read_admission, ADMISSION_FRESH)

    def freeze(self) -> Freeze | None:
        """Return the freeze in force, None when there is none.

        Raises Transient when nobody could say for more than 4 s: nothing may start then.
        """
        return self._freeze.get(FREEZE_FRESH) if self._freeze.value is None else self._freeze.anew()

    def engine_available(self, engine: Engine) -> bool:
        """Say whether the API server serves the kind of run of an engine.

        Tekton's counts as served until it turns out not to be; from then on it is asked for. Raises Transient.
        """
        if engine is Engine.JOB:
            return True
        return self._tekton.value is True or bool(self._tekton.anew())

    def engine_absent(self, engine: Engine) -> None:
        """Note that the API server did not know the kind of run of an engine."""
        if engine is Engine.TEKTON:
            self._tekton.forget(False)

    def requester_verified(self) -> bool:
        """Say whether admission makes sure that the requested-by annotation names its author; when unknown, no."""
        try:
            return bool(self._admission.get(ADMISSION_FRESH))
        except ExecutorError as fault:
            log.warning("nobody vouches for requesters: %s", fault)
            return False

    def _read_freeze(self) -> Freeze | None:
        return read_freeze(self._cluster.get(self.freeze_path))

    def _read_tekton(self) -> bool:
        try:
            served: dict[str, Any] = self._cluster.get(paths.discovery("tekton.dev/v1")) or {}
        except ResourceAbsent:
            return False
        return any(resource.get("name") == "pipelineruns" for resource in served.get("resources") or ())

    def _read_admission(self) -> bool:
        return all(self._cluster.get(path) is not None for path in paths.admission(ADMISSION_NAME))


class _Remembered(Generic[T]):
    """One answer of the API server and its age.

    One thread asks at a time, the others go on with what is known while it is younger than `known` seconds; an answer
    that cannot be had counts as well as the last one until then.
    """

    def __init__(self, ask: Callable[[], T], known: float, first: T | None = None) -> None:
        self._ask = ask
        self._known = known
        self._lock = threading.Lock()
        self._asked_at = float("-inf")
        self.value: T | None = first

    def get(self, fresh: float) -> T | None:
        """Return an answer at most `fresh` seconds old, or what is known. Raises Transient."""
        if self._age() <= fresh:
            return self.value
        if not self._lock.acquire(blocking=self._age() > self._known):
            return self.value
        try:
            return self.value if self._age() <= fresh else self._renew(self._known)
        finally:
            self._lock.release()

    def anew(self) -> T | None:
        """Return an answer that was asked for after this call began. Raises Transient."""
        came = clock.monotonic()
        with self._lock:
            return self.value if self._asked_at >= came else self._renew(0)

    def forget(self, value: T) -> None:
        """Take another's word for it; the next who wants to know asks."""
        self.value, self._asked_at = value, float("-inf")

    def _renew(self, known: float) -> T | None:
        """Ask; an answer that cannot be had is the last one while that is younger than `known` seconds."""
        began = clock.monotonic()
        try:
            self.value = self._ask()
        except ExecutorError as fault:
            if self._age() <= known:
                return self.value
            raise Transient(f"unknown for more than {known:.0f} s: {fault}") from fault
        self._asked_at = began
        return self.value

    def _age(self) -> float:
        return clock.monotonic() - self._asked_at
