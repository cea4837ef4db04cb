"""Worker and beat processes: what they wait for at their start, the sign of life, the end on SIGTERM."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from devcluster.cluster import Cluster as LocalCluster
from models.errors import Transient
from models.settings import RedisSettings, parse_settings
from tasks import alive, clock, liveness, worker_process
from tasks.app import SWEEP, TIMERS, build_app
from tests.integration.worker.conftest import CRD, WORKER, Start
from tests.waiting import until

TASKS = 300


@pytest.fixture
def launch(api_cluster: LocalCluster, start_python: Start) -> Start:
    api_cluster.apply(CRD)
    return functools.partial(start_python, api_cluster.kubeconfig, "-m", "celery")


@pytest.mark.timeout(400)
def test_worker_waits_for_redis_then_lives_and_ends_with_zero(launch: Start, redis_server: Any, tmp_path: Path) -> None:
    redis_server.stop()
    try:
        child, log = launch(*WORKER)
        until(lambda: '"waits_for": "Redis"' in log.read_text(), 90, "it says what it waits for")
        assert child.poll() is None
    finally:
        redis_server.start()
    until(lambda: " ready." in log.read_text(), 90, "the worker is ready")
    said = log.read_text()
    order = [said.index(f'"waits_for": "{what}') for what in ("Redis", "the API server", "the CRD")]
    assert order == sorted(order)
    until((tmp_path / "alive").exists, 90, "its sign of life")
    assert alive.main([str(tmp_path / "alive")]) == 0
    child.send_signal(signal.SIGTERM)
    assert child.wait(90) == 0


@pytest.mark.timeout(400)
def test_a_redis_that_drops_keys_ends_it_with_two(launch: Start, redis_server: Any) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory", "100mb")
        try:
            child, log = launch("-A", "tasks", "beat", "--loglevel", "INFO")
            assert child.wait(90) == 2
        finally:
            client.config_set("maxmemory", "0")
            client.config_set("maxmemory-policy", "noeviction")
    assert "allowed is noeviction" in log.read_text()
    assert "Traceback" not in log.read_text()


@pytest.mark.timeout(400)
def test_worker_outlives_a_redis_that_takes_no_writes(launch: Start, redis_server: Any) -> None:
    """In a failover the old master becomes a replica, and for a while nobody may write anywhere.

    The worker tries ever more seldom, says so now and then in one line, and goes on when Redis does.
    """
    child, log = launch(*WORKER)
    app = build_app(parse_settings({"redis": {"url": redis_server.url}}, {}, {}))
    with redis.Redis.from_url(redis_server.url) as client:
        until(lambda: " ready." in log.read_text(), 90, "the worker is ready")
        before = len(log.read_text())
        client.replicaof("127.0.0.1", "1")
        try:
            patient = "does not work, try 4 in 0.8 s: ReadOnlyError: "
            until(lambda: patient in log.read_text(), 90, "it finds that Redis is none to work with, and waits longer")
            meanwhile = log.read_text()[before:]
        finally:
            client.replicaof("NO", "ONE")
        client.delete("wfe:epoch")
        app.send_task(SWEEP, queue=TIMERS)
        until(lambda: client.exists("wfe:epoch"), 90, "it sweeps, resyncs and opens the gate")
    assert child.poll() is None
    told = [json.loads(line) for line in meanwhile.splitlines()[:-1]]
    aloud = [line for line in told if line["level"] != "info" and line["logger"].startswith(("celery.worker", "py."))]
    assert aloud == [], "one line says it all, without a traceback"


@pytest.mark.timeout(400)
def test_every_task_is_seen_to_end(launch: Start, redis_server: Any) -> None:
    _, log = launch(*WORKER)
    until(lambda: " ready." in log.read_text(), 90, "the worker is ready")
    app = build_app(parse_settings({"redis": {"url": redis_server.url}}, {}, {}))
    heard = threading.Event()
    seen: dict[str, set[str]] = {"task-received": set(), "task-succeeded": set()}
    with app.connection_for_read() as connection:
        handlers = {kind: lambda event: seen[event["type"]].add(event["uuid"]) for kind in seen}
        receiver = app.events.Receiver(connection, handlers={**handlers, "worker-heartbeat": lambda _: heard.set()})
        with receiver.consumer_context() as (stream, _, _):

            def hears(wanted: Callable[[], bool]) -> bool:
                with contextlib.suppress(TimeoutError):
                    stream.drain_events(timeout=1)
                return wanted()

            until(lambda: hears(heard.is_set), 90, "the receiver hears the worker")
            before, began = published(redis_server.url), time.monotonic()
            sent = {app.send_task(SWEEP, queue=TIMERS).id for _ in range(TASKS)}
            until(lambda: hears(lambda: seen["task-succeeded"] >= sent), 90, "every task is seen to end")
    assert seen["task-received"] >= sent
    # One by one it would be two for each task; four times a second they travel together, and a heartbeat now and then.
    assert published(redis_server.url) - before < TASKS / 3 + 6 * (time.monotonic() - began)


def published(url: str) -> int:
    """Return how many messages Redis was given for whoever listens."""
    with contextlib.closing(redis.Redis.from_url(url)) as client:
        return int(client.info("commandstats").get("cmdstat_publish", {}).get("calls", 0))


@pytest.mark.timeout(400)
def test_beat_waits_for_redis(launch: Start, redis_server: Any) -> None:
    redis_server.stop()
    try:
        _, log = launch("-A", "tasks", "beat", "--loglevel", "INFO", "--schedule", os.devnull)
        until(lambda: '"waits_for": "Redis"' in log.read_text(), 90, "it says what it waits for")
        assert "Sending due task" not in log.read_text()
    finally:
        redis_server.start()
    until(lambda: "Sending due task" in log.read_text(), 90, "it ticks")


def test_what_does_not_come_ends_a_process_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "START_DEADLINE", 0.0)

    class Given:
        redis = RedisSettings(url="redis://127.0.0.1:1/0")

    settings: Any = Given()
    with pytest.raises(SystemExit) as ended:
        worker_process._wait_or_exit(settings, cluster=False)
    assert ended.value.code == 1
    assert not isinstance(ended.value.__cause__, Transient)


def test_probe_is_patient_with_redis_and_not_with_a_worker_that_hangs(tmp_path: Path) -> None:
    file = tmp_path / "alive"
    assert alive.main([str(file)]) == 1
    file.write_text(f"{clock.monotonic() - 121:.3f}\n")
    assert alive.main([str(file)]) == 0
    file.write_text(f"{clock.monotonic() - liveness.LONGEST_SILENCE - 1:.3f}\n")
    assert alive.main([str(file)]) == 1
