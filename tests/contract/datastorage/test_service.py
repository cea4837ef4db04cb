"""Around the events: health, readiness, request ids, logs, metrics, the OpenAPI document, errors of the protocol."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, text

import datastorage
from datastorage import schema
from datastorage.app import create_app
from datastorage.clock import Clock
from datastorage.logs import JsonFormatter
from datastorage.openapi import document
from tests.contract.datastorage.conftest import Event, Service, await_requests_logged, engine_for


def test_health(service: Service) -> None:
    assert httpx.get(f"{service.url}/health").json() == {"status": "healthy", "database": "connected"}
    assert httpx.get(f"{service.url}/health/live").status_code == 200
    ready = httpx.get(f"{service.url}/health/ready")
    assert (ready.status_code, ready.json()["schema"]) == (200, schema.head())


def test_not_ready_without_its_schema(empty_engine: Engine) -> None:
    with Service(empty_engine) as service:
        assert httpx.get(f"{service.url}/health").status_code == 200
        ready = httpx.get(f"{service.url}/health/ready")
        assert (ready.status_code, ready.json()["status"], ready.json()["schema"]) == (503, "not ready", None)
        schema.upgrade(empty_engine)
        assert service.upkeep.once()
        assert httpx.get(f"{service.url}/health/ready").status_code == 200
        with empty_engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = 'older'"))
        assert httpx.get(f"{service.url}/health/ready").status_code == 503


def test_an_unreachable_database() -> None:
    """Nobody listens on the discard port: alive, but neither healthy nor ready, and 503 for requests."""
    engine = engine_for("postgresql://nobody@127.0.0.1:9/none")
    with Service(engine) as service:
        assert httpx.get(f"{service.url}/health/live").status_code == 200
        health = httpx.get(f"{service.url}/health")
        assert (health.status_code, health.json()["database"]) == (503, "disconnected")
        assert httpx.get(f"{service.url}/health/ready").status_code == 503
        answer = httpx.get(f"{service.url}/api/v1/audit/events")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert answer.json()["type"].endswith("/database-unavailable")
    engine.dispose()


@pytest.mark.parametrize(
    ("method", "path", "status", "slug"),
    [
        ("GET", "/nothing", 404, "not-found"),
        ("DELETE", "/api/v1/audit/events", 405, "method-not-allowed"),
        ("GET", "/api/v1/audit/events/batch", 405, "method-not-allowed"),
    ],
)
def test_errors_of_the_protocol(service: Service, method: str, path: str, status: int, slug: str) -> None:
    answer = httpx.request(method, service.url + path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"https://kubernaut.ai/problems/{slug}"


@pytest.mark.parametrize(("path", "allowed"), [("/events", "GET, POST"), ("/events/batch", "POST")])
def test_a_refused_method_hears_of_all_that_are_allowed(service: Service, path: str, allowed: str) -> None:
    assert httpx.delete(f"{service.url}/api/v1/audit{path}", timeout=30).headers["allow"] == allowed


@pytest.mark.parametrize(("given", "kept"), [("abc-123", True), ('a"b', False), ("x" * 129, False)])
def test_request_ids(service: Service, given: str, kept: bool) -> None:
    answer = httpx.get(f"{service.url}/health", headers={"X-Request-ID": given})
    assert (answer.headers["x-request-id"] == given) is kept
    assert answer.headers["x-request-id"]


def test_logs_say_who_but_not_what(
    client: httpx.Client, event: Event, caplog: pytest.LogCaptureFixture, engine: Engine
) -> None:
    """The request's id and its correlation are there; event data is nowhere, not even in errors of the database."""
    secret = "s3cr3t-in-event-data"
    caplog.set_level(logging.DEBUG)
    client.post("/events", json=event(1, event_data={"token": secret}), headers={"X-Request-ID": "req-1"})
    client.post("/events/batch", json=[event(2, correlation_id="a"), event(3, correlation_id="b")])
    client.post("/events", json=event(4, event_data=[secret]))
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE audit_events RENAME TO elsewhere"))
    try:
        assert client.post("/events", json=event(5, event_data={"token": secret})).status_code == 500
    finally:
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE elsewhere RENAME TO audit_events"))
    formatter = JsonFormatter()
    await_requests_logged(caplog, 4)
    lines: list[dict[str, Any]] = [json.loads(formatter.format(record)) for record in caplog.records]
    requests = [line for line in lines if line["logger"] == "datastorage.request"]
    assert [line["status"] for line in requests] == [201, 201, 400, 500]
    assert requests[0]["request_id"] == "req-1"
    assert requests[0]["correlation_id"] == "rr-1"
    assert requests[1]["correlation_ids"] == ["a", "b"]
    assert any(line.get("problem") == "database-error" for line in lines)
    assert secret not in json.dumps(lines)


def test_metrics(service: Service, client: httpx.Client, event: Event) -> None:
    client.post("/events/batch", json=[event(1), event(2)])
    client.get("/events", params={"limit": "x"})
    httpx.request("INVENTED", f"{service.url}/nothing")
    text_form = httpx.get(f"{service.url}/metrics").text
    assert 'audit_events_written_total{service="datastorage"}' in text_form
    assert 'audit_write_duration_seconds_count{service="datastorage"}' in text_form
    assert '{method="GET",route="/api/v1/audit/events",status="400"}' in text_form
    assert "INVENTED" not in text_form


def test_the_committed_openapi_document_is_the_one_served(service: Service) -> None:
    committed = json.loads(Path(datastorage.__file__).with_name("openapi.json").read_text(encoding="utf-8"))
    assert httpx.get(f"{service.url}/openapi.json").json() == committed


def test_the_openapi_document_has_every_route(engine: Engine) -> None:
    app = create_app(engine, 1, CollectorRegistry(), Clock())
    routes = [route for route in app.routes if isinstance(route, APIRoute)]
    served = {(route.path, method.lower()) for route in routes for method in route.methods or ()}
    assert served == {(path, method) for path, operations in document()["paths"].items() for method in operations}


def test_a_checkpoint_that_fails_is_counted(service: Service, client: httpx.Client, event: Event) -> None:
    assert service.seals.anchor is not None
    client.post("/events", json=event(1)).raise_for_status()
    service.seals.anchor.mkdir()
    try:
        # The server closes a connection after a 500 as soon as it gets round to it: no later request may count on it.
        answer = client.post("/checkpoints", headers={"Connection": "close"})
        assert (answer.status_code, "anchor" in answer.json()["detail"]) == (500, True)
    finally:
        service.seals.anchor.rmdir()
    failed, taken = (service.metric(f"audit_checkpoints_{kind}total") for kind in ("failed_", ""))
    assert (failed, taken) == (1, 0)
    client.post("/events", json=event(2)).raise_for_status()
    assert client.post("/checkpoints").status_code == 201
    assert (service.metric("audit_checkpoints_failed_total"), service.metric("audit_checkpoints_total")) == (1, 1)
