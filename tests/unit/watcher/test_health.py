"""Probes: deaf, not listed, absent; and the metric of the last event."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry

from watcher.health import Endpoint, deaf_streams, exposition, probe, register_streams, unlisted_streams
from watcher.state import StreamState

pytestmark = pytest.mark.enable_socket


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_executions_must_be_listed_and_runs_may_be_absent() -> None:
    executions, runs = StreamState("workflowexecutions", required=True), StreamState("pipelineruns", required=False)
    assert len(unlisted_streams([executions, runs])) == 2
    runs.found_absent()
    executions.found_absent()
    assert unlisted_streams([executions, runs]) == ["workflowexecutions: the API server does not know this type"]
    executions.found_listed(3)
    assert unlisted_streams([executions, runs]) == []


def test_a_stream_nobody_speaks_on_is_deaf_and_any_answer_ends_that(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("watcher.state.clock.monotonic", lambda: now[0])
    state = StreamState("workflowexecutions", required=True)
    now[0] += 151
    assert deaf_streams([state], 150) == ["workflowexecutions: no event or bookmark for 151 s"]
    state.heard_event()
    assert deaf_streams([state], 150) == []


def test_endpoints_answer_and_free_ports_are_told() -> None:
    registry = CollectorRegistry()
    state = StreamState("workflowexecutions", required=True)
    register_streams(registry, [state])
    problems = ["deaf"]
    endpoint = Endpoint("127.0.0.1", 0, {"/healthz": probe(lambda: problems), "/metrics": exposition(registry)})
    try:
        base = f"http://{endpoint.address}"
        code, body = get(f"{base}/healthz")
        assert (code, json.loads(body)["problems"]) == (503, ["deaf"])
        problems.clear()
        assert get(f"{base}/healthz?verbose")[0] == 200
        assert get(f"{base}/other")[0] == 404
        state.heard_event()
        name = 'workflowexecution_watch_last_event_timestamp_seconds{resource="workflowexecutions"}'
        (line,) = [line for line in get(f"{base}/metrics")[1].decode().splitlines() if line.startswith(name)]
        assert float(line.rpartition(" ")[2]) == pytest.approx(state.last_event)
    finally:
        endpoint.close()
