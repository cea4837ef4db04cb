"""`python -m watcher [--config FILE]`: run the watcher until SIGTERM. Exit 2: a setting is wrong; 1: nothing came."""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import secrets
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from models.errors import Misconfigured
from models.keys import Key
from models.settings import Settings
from tasks.adapters.cluster import Cluster
from tasks.config import load, own_namespace
from tasks.logs import log_json
from tasks.turns import take_short_turns
from tasks.waiting import START_DEADLINE, wait_for_redis
from watcher.gauges import Stored
from watcher.service import Outlets, Watcher

SCRAPE_PATIENCE = timedelta(seconds=2)

log = logging.getLogger("watcher")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the watcher and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m watcher", description=__doc__)
    parser.add_argument("--config", metavar="FILE", help="YAML file with settings (else WFE_CONFIG)")
    config = parser.parse_args(arguments).config
    log_json()
    try:
        return _run(load(config), config)
    except Misconfigured as wrong:
        sys.stderr.write(f"misconfigured: {wrong}\n")
        return 2
    except TimeoutError as error:
        log.error("giving up: %s", error)
        return 1


def _run(settings: Settings, config: str | None) -> int:
    take_short_turns()
    cluster = Cluster.connect(
        settings.kubernetes.kubeconfig, settings.kubernetes.context, settings.kubernetes.request_timeout
    )
    watcher = Watcher(
        settings,
        cluster,
        _outlets(settings, config),
        random.random,
        identity=f"{socket.gethostname()}_{secrets.token_hex(4)}",
        namespace=own_namespace(),
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: watcher.stopping.set())
    _announce({"health": watcher.health.address, "metrics": watcher.metrics.address})
    if wait_for_redis(settings.redis, watcher.stopping, START_DEADLINE):
        watcher.run(START_DEADLINE)
    else:
        watcher.close()
    log.info("stopped")
    return 0


def _outlets(settings: Settings, config: str | None) -> Outlets:
    if config:
        os.environ["WFE_CONFIG"] = config  # the Celery app reads its settings at its import
    from tasks.app import app
    from tasks.publish import Publisher
    from tasks.redis_scripts.connection import connect
    from tasks.redis_scripts.hold import Holds
    from tasks.redis_scripts.outbox import Outbox
    from tasks.redis_scripts.queue import WorkQueue

    client = connect(settings.redis)
    queue = WorkQueue(
        client,
        settings.redis.prefix,
        horizon=settings.celery.horizon,
        claim=settings.celery.claim,
    )
    publisher = Publisher(app, queue)

    def publish(keys: Sequence[Key], hot: bool) -> None:
        publisher.wake(keys, hot=hot)

    # A scrape must not wait for Redis as long as a pass may.
    patience = min(settings.redis.socket_timeout, SCRAPE_PATIENCE)
    scraped = connect(replace(settings.redis, socket_timeout=patience))
    holds, outbox = Holds(scraped, settings.redis.prefix), Outbox(scraped, settings.redis.prefix)
    return Outlets(publish, publisher.resync, lambda: Stored(holds.held_count(), outbox.size()))


def _announce(addresses: dict[str, str]) -> None:
    log.info("listening", extra=addresses)
    file = os.environ.get("WFE_PORTS_FILE")
    if file:
        draft = Path(f"{file}.{os.getpid()}")
        draft.write_text(json.dumps(addresses) + "\n", encoding="utf-8")
        draft.replace(file)


if __name__ == "__main__":
    sys.exit(main())
