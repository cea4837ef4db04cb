"""What a worker process has besides its tasks: JSON logs, a metrics port, its parts built before the first task."""

from __future__ import annotations

import logging
from typing import Any

from celery.signals import setup_logging, worker_init
from prometheus_client import REGISTRY, start_http_server

from models.errors import Misconfigured
from models.settings import Settings
from tasks.logs import log_json
from tasks.parts import worker_parts

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
    try:
        worker_parts()
    except Misconfigured as wrong:
        log.error("misconfigured: %s", wrong)
        raise SystemExit(2) from None
    address = settings.controller.metrics_addr
    server, _thread = start_http_server(address.port, address.host or "0.0.0.0", REGISTRY)
    log.info("metrics on %s:%d", address.host or "*", server.server_port)
