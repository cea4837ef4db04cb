"""What a worker process has besides its tasks: JSON logs, a metrics port, its parts built before the first task."""

from __future__ import annotations

import logging
import socket
import threading
from typing import Any

from celery.signals import beat_init, setup_logging, worker_init
from prometheus_client import REGISTRY, CollectorRegistry, start_http_server

from models.errors import Misconfigured
from models.setting_kinds import Address
from models.settings import Settings
from tasks.adapters.cluster import Cluster
from tasks.logs import log_json
from tasks.parts import worker_parts
from tasks.turns import take_short_turns
from tasks.waiting import START_DEADLINE, wait_for_cluster, wait_for_redis

log = logging.getLogger(__name__)


@setup_logging.connect
def _log_as_json(loglevel: int | str | None = None, **_: Any) -> None:
    log_json(
        logging.INFO if loglevel is None else logging.getLevelName(loglevel) if isinstance(loglevel, str) else loglevel
    )


@worker_init.connect
def _prepare(sender: Any, **_: Any) -> None:
    """Build the parts and open the metrics port; a wrong setting ends the process with 2 before it takes a task."""
    settings: Settings = sender.app.conf.wfe
    log_json()  # Celery sets logging up after this signal
    take_short_turns()
    try:
        parts = worker_parts()
    except Misconfigured as wrong:
        log.error("misconfigured: %s", wrong)
        raise SystemExit(2) from None
    _wait_or_exit(settings, cluster=True)
    for name, keep in (("claims", parts.claims.keep), ("attendance", parts.attendance.keep)):
        threading.Thread(target=keep, args=(threading.Event().wait,), name=name, daemon=True).start()
    open_metrics(settings.controller.metrics_addr, REGISTRY)


@beat_init.connect
def _prepare_beat(sender: Any, **_: Any) -> None:
    """Wait for what beat needs: a broker for its ticks."""
    _wait_or_exit(sender.app.conf.wfe, cluster=False)


def _wait_or_exit(settings: Settings, *, cluster: bool) -> None:
    """Wait in order: Redis, then for a worker the API server and the CRD; what does not come ends the process with 1.
    A Redis that would lose holds ends it with 2.

    A signal ends a process that waits at once: it has not begun anything.
    """
    never = threading.Event()
    try:
        wait_for_redis(settings.redis, never, START_DEADLINE)
        if cluster:
            kubernetes = settings.kubernetes
            timeout = kubernetes.request_timeout
            wait_for_cluster(Cluster.connect(kubernetes.kubeconfig, kubernetes.context, timeout), never, START_DEADLINE)
    except Misconfigured as wrong:
        log.error("misconfigured: %s", wrong)
        raise SystemExit(2) from None
    except TimeoutError as error:
        log.error("giving up: %s", error)
        raise SystemExit(1) from None


def open_metrics(address: Address, registry: CollectorRegistry) -> int:
    """Answer /metrics and return the port; no host means every interface, IPv4 and IPv6 where there is both.

    A port that cannot be had ends the process with 2: Celery only logs what a signal's receiver raises, and a worker
    nobody can measure would go on.
    """
    host = address.host or ("::" if socket.has_dualstack_ipv6() else "0.0.0.0")
    try:
        server, _thread = start_http_server(address.port, host, registry)
    except OSError as fault:
        log.error("misconfigured: controller.metrics_addr=%s:%d: %s", address.host, address.port, fault.strerror)
        raise SystemExit(2) from None
    log.info("metrics on %s:%d", address.host or "*", server.server_port)
    return int(server.server_port)
