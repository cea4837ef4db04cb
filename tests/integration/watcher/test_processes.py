"""Watcher processes with a real Redis and a real API server: leadership, probes, signals, wrong settings."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

import redis

from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from tests.integration.watcher.conftest import SOON, SYSTEM, Launch, Process, User, rounds, until
from watcher.leader import LEASE_NAME


def holder(cluster: Cluster) -> str:
    return str(lease(cluster)["holderIdentity"])


def get(address: str, path: str) -> Any:
    with urllib.request.urlopen(f"http://{address}{path}", timeout=60) as answer:
        return answer.read()


def ready(process: Process) -> bool:
    try:
        return bool(json.loads(get(process.ports()["health"], "/readyz"))["status"] == "ok")
    except urllib.error.HTTPError:
        return False


def leader_and_standby(launch: Launch) -> tuple[Process, Process]:
    leader = launch()
    until(lambda: leader.said("leading"))
    standby = launch()
    until(lambda: ready(standby))
    return leader, standby


def lease(cluster: Cluster) -> dict[str, Any]:
    found = cluster.get(paths.lease(SYSTEM, LEASE_NAME))
    assert found is not None
    spec: dict[str, Any] = found["spec"]
    return spec


def test_a_released_lease_is_taken_over_within_three_seconds(
    launch: Launch, cluster: Cluster, redis_client: redis.Redis, user: User
) -> None:
    leader, standby = leader_and_standby(launch)
    key = user.declare()
    until(lambda: redis_client.zscore("wfe:due", str(key)) is not None)
    for _ in rounds():
        before = lease(cluster)
        assert standby.said("leading") == 0
        began = time.monotonic()
        leader.child.terminate()
        until(partial(standby.said, "leading"))
        took = time.monotonic() - began
        assert leader.child.wait(SOON) == 0
        after = lease(cluster)
        assert after["leaseTransitions"] == before["leaseTransitions"] + 1
        assert after["holderIdentity"] != before["holderIdentity"]
        leader = standby
        if took < 3:
            break
        standby = launch()
        until(partial(ready, standby))
    assert took < 3
    other = user.declare()
    until(lambda: redis_client.zscore("wfe:due", str(other)) is not None)
    assert leader.terminate() == 0
    assert holder(cluster) == ""


def test_a_killed_leader_is_succeeded_within_twenty_seconds(
    launch: Launch, redis_client: redis.Redis, user: User
) -> None:
    leader, standby = leader_and_standby(launch)
    for _ in rounds():
        began = time.monotonic()
        leader.child.kill()
        leader.child.wait()
        unseen = user.declare()
        until(partial(standby.said, "leading"))
        took = time.monotonic() - began
        # Nobody published it; the resync that a new leader asks for will find it.
        assert redis_client.zscore("wfe:due", str(unseen)) is None
        until(lambda: redis_client.keys("wfe:celery:*resync*"))
        if took < 20:
            break
        leader, standby = standby, launch()
        until(partial(ready, standby))
    assert took < 20


def test_probes_and_metrics_answer_on_the_ports_that_were_told(launch: Launch, redis_client: redis.Redis) -> None:
    process = launch(WFE_CONTROLLER_LEADER_ELECTION="false")
    ports = process.ports()
    until(lambda: ready(process))
    assert json.loads(get(ports["health"], "/healthz"))["status"] == "ok"
    metric = 'workflowexecution_watch_last_event_timestamp_seconds{resource="pipelineruns"}'
    assert metric in get(ports["metrics"], "/metrics").decode()
    listening = next(line for line in process.lines() if line["msg"] == "listening")
    assert {name: listening[name] for name in ports} == ports


def test_redis_away_loses_nothing(launch: Launch, redis_server: Any, redis_client: redis.Redis, user: User) -> None:
    process = launch(WFE_CONTROLLER_LEADER_ELECTION="false", WFE_REDIS_SOCKET_TIMEOUT="1s")
    until(lambda: ready(process))
    redis_server.stop()
    try:
        keys = [user.declare() for _ in range(3)]
        until(lambda: process.said("publish failed"))
    finally:
        redis_server.start()
    with redis.Redis.from_url(redis_server.url) as client:
        until(lambda: all(client.zscore("wfe:due", str(key)) is not None for key in keys))
    assert process.child.poll() is None


def test_a_wrong_setting_is_one_line_and_exit_code_two(launch: Launch) -> None:
    process = launch(WFE_CONTROLLER_METRICS_ADDR="nowhere")
    assert process.child.wait(60) == 2
    text = process.log.read_text().strip()
    assert text.startswith("misconfigured: controller.metrics_addr=nowhere")
    assert "\n" not in text


def test_an_unusable_kubeconfig_is_exit_code_two(launch: Launch, tmp_path: Path) -> None:
    process = launch(WFE_KUBERNETES_KUBECONFIG=str(tmp_path / "none"))
    assert process.child.wait(60) == 2


def test_a_signal_while_waiting_for_the_api_server_ends_it(launch: Launch, tmp_path: Path) -> None:
    nowhere = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {}}],
    }
    kubeconfig = tmp_path / "nowhere"
    kubeconfig.write_text(json.dumps(nowhere))
    process = launch(WFE_KUBERNETES_KUBECONFIG=str(kubeconfig))
    until(lambda: process.said("waiting"))
    assert process.terminate() == 0
