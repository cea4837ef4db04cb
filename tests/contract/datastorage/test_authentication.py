"""Tokens: who may write, who may read, and that nobody gets past them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine, func, select

from datastorage.authentication import read_tokens
from datastorage.openapi import document
from models.tables import audit_events
from tests.contract.datastorage.conftest import Event, Service

WRITER, READER, BOTH = "w" * 20, "r" * 20, "b" * 20
AUDIT = "/api/v1/audit"
WRITING = [("POST", "/events"), ("POST", "/events/batch")]
READING = [("GET", "/events"), ("GET", "/export"), ("POST", "/verify-chain"), ("POST", "/checkpoints")]


@pytest.fixture
def guarded(engine: Engine, service: Service, tmp_path: Path) -> Iterator[httpx.Client]:
    """Run a service that asks for tokens."""
    (tmp_path / "tokens").write_text(
        f"# who may what\n\nexecutor write {WRITER}\nauditor read {READER}\nwfe read,write {BOTH}\n"
    )
    callers = read_tokens(str(tmp_path / "tokens"))
    with Service(engine, service.seals, callers) as running, httpx.Client(base_url=running.url, timeout=30) as http:
        yield http


def as_(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_each_operation_of_the_audit_is_guarded() -> None:
    """A new route must be put on one of the lists."""
    audit = {path: operations for path, operations in document()["paths"].items() if path.startswith(AUDIT)}
    served = {(method.upper(), path.removeprefix(AUDIT)) for path, operations in audit.items() for method in operations}
    assert served == {*WRITING, *READING}


@pytest.mark.parametrize(("method", "path"), [*WRITING, *READING])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        as_("x" * 20),
        {"Authorization": "Bearer"},
        {"Authorization": WRITER},
        {"Authorization": f"Basic {BOTH}"},
        as_(BOTH[:-1]),
        as_(f"{BOTH} {BOTH}"),
    ],
)
def test_without_a_known_token_nothing_is_done(
    guarded: httpx.Client, engine: Engine, event: Event, method: str, path: str, headers: dict[str, str]
) -> None:
    body = [event(1)] if path.endswith("batch") else event(1)
    answer = guarded.request(method, AUDIT + path, headers=headers, json=body if method == "POST" else None)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json()["type"] == "https://kubernaut.ai/problems/unauthorized"
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(audit_events)).scalar_one() == 0


@pytest.mark.parametrize(("method", "path"), [*WRITING, *READING])
def test_writing_and_reading_are_separate_rights(guarded: httpx.Client, event: Event, method: str, path: str) -> None:
    guarded.post(f"{AUDIT}/events", json=event(99), headers=as_(BOTH)).raise_for_status()
    body = {"/events": event(1), "/events/batch": [event(1)]}.get(path, {})
    content = body if method == "POST" else None
    right, wrong = (WRITER, READER) if (method, path) in WRITING else (READER, WRITER)
    refused = guarded.request(method, AUDIT + path, headers=as_(wrong), json=content)
    assert (refused.status_code, refused.json()["type"]) == (403, "https://kubernaut.ai/problems/forbidden")
    for token in (right, BOTH):
        assert guarded.request(method, AUDIT + path, headers=as_(token), json=content).is_success


@pytest.mark.parametrize("path", ["/events/", "//events", "/./events", "/%65vents", "/events%2Fbatch"])
def test_no_other_spelling_gets_past(guarded: httpx.Client, engine: Engine, event: Event, path: str) -> None:
    for headers in ({}, as_(READER)):
        answer = guarded.post(AUDIT + path, headers=headers, json=event(1))
        assert not answer.is_success
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(audit_events)).scalar_one() == 0


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready", "/metrics", "/openapi.json"])
def test_probes_need_no_token(guarded: httpx.Client, path: str) -> None:
    assert guarded.get(path).status_code == 200


def test_a_refusal_does_not_wait_for_the_body(guarded: httpx.Client) -> None:
    answer = guarded.post(f"{AUDIT}/events/batch", content=b"x" * 1000, headers={"Content-Type": "application/json"})
    assert answer.status_code == 401
