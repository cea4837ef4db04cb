"""Wait for what a process needs at its start, and say what for. Seconds."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from models.errors import ExecutorError, Misconfigured
from models.settings import RedisSettings
from tasks import clock
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from tasks.redis_scripts.connection import connect, refuse_eviction

START_DEADLINE = 120.0
PAUSE = 0.5
SAY_EVERY = 5.0

log = logging.getLogger(__name__)


def wait_for(what: str, ask: Callable[[], object], stop: threading.Event, deadline: float) -> bool:
    """Ask until there is an answer; False when `stop` came first. Raises TimeoutError after `deadline`."""
    started = said = clock.monotonic()
    log.info("waiting", extra={"waits_for": what})
    while not stop.is_set():
        try:
            ask()
        except Misconfigured:
            raise
        except ExecutorError as error:
            now = clock.monotonic()
            if now - started > deadline:
                raise TimeoutError(f"waited {deadline:.0f} s for {what}: {error}") from error
            if now - said >= SAY_EVERY:
                said = now
                log.warning("still waiting", extra={"waits_for": what, "error": str(error)})
            stop.wait(PAUSE)
        else:
            return True
    return False


def wait_for_cluster(cluster: Cluster, stop: threading.Event, deadline: float) -> bool:
    """Wait for the API server, then for the CRD of executions and the right to list them."""
    return wait_for("the API server", lambda: cluster.get("/version"), stop, deadline) and wait_for(
        "the CRD of WorkflowExecution, and the right to list it",
        lambda: cluster.list_page(paths.executions(), limit=1),
        stop,
        deadline,
    )


def wait_for_redis(settings: RedisSettings, stop: threading.Event, deadline: float) -> bool:
    """Wait for Redis to answer. Raises TimeoutError, and Misconfigured where it would lose what is put into it."""
    with connect(settings) as client:
        return wait_for("Redis", lambda: refuse_eviction(client), stop, deadline)
