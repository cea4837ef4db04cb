"""Tokens: who may write, read and hold, and that nobody gets past them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine, func, select

from datastorage import logs
from datastorage.openapi import document
from datastorage.token_file import TokenFile
from models.tables import audit_events
from tests.contract.datastorage.conftest import Event, Service, await_requests_logged

WRITER, READER, HOLDER, BOTH, ALL = "w" * 20, "r" * 20, "h" * 20, "b" * 20, "a" * 20
AUDIT = "/api/v1/audit"
WRITING = [("POST", "/events"), ("POST", "/events/batch")]
HOLDING = [("POST", "/holds"), ("POST", "/holds/lift")]
READING = [
    ("GET", "/holds"),
    ("GET", "/events"),
    ("GET", "/export"),
    ("POST", "/verify-chain"),
    ("POST", "/checkpoints"),
]


@pytest.fixture
def asking(engine: Engine, service: Service, tmp_path: Path) -> Iterator[Service]:
    """Run a service that asks for tokens."""
    (tmp_path / "tokens").write_text(
        f"# who may what\n\nexecutor write {WRITER}\nauditor read {READER}\nlegal hold {HOLDER}\n"
        f"both read,write {BOTH}\nwfe read,write,hold {ALL}\n"
    )
    with Service(engine, service.seals, TokenFile(str(tmp_path / "tokens"))) as running:
        yield running


@pytest.fixture
def guarded(asking: Service) -> Iterator[httpx.Client]:
    """Return a client of a service that asks for tokens."""
    with httpx.Client(base_url=asking.url, timeout=30) as http:
        yield http


def as_(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_each_operation_of_the_audit_is_guarded() -> None:
    """A new route must be put on one of the lists."""
    audit = {path: operations for path, operations in document()["paths"].items() if path.startswith(AUDIT)}
    served = {(method.upper(), path.removeprefix(AUDIT)) for path, operations in audit.items() for method in operations}
    assert served == {*WRITING, *READING, *HOLDING}
    for method, path in served:
        right = "write" if (method, path) in WRITING else "hold" if (method, path) in HOLDING else "read"
        assert audit[AUDIT + path][method.lower()]["security"] == [{"bearer": [right]}, {}]


@pytest.mark.parametrize(("method", "path"), [*WRITING, *READING, *HOLDING])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        as_("x" * 20),
        {"Authorization": "Bearer"},
        {"Authorization": WRITER},
        {"Authorization": f"Basic {BOTH}"},
        as_(ALL[:-1]),
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


@pytest.mark.parametrize(("method", "path"), [*WRITING, *READING, *HOLDING])
def test_writing_reading_and_holding_are_separate_rights(
    guarded: httpx.Client, event: Event, method: str, path: str
) -> None:
    guarded.post(f"{AUDIT}/events", json=event(99), headers=as_(BOTH)).raise_for_status()
    hold = {"correlation_id": "rr-1", "reason": "why"}
    asks = {"/holds": hold, "/holds/lift": hold}
    body = {"/events": event(1), "/events/batch": [event(1)], **asks}.get(path, {})
    content = body if method == "POST" else None
    lists = {WRITER: WRITING, READER: READING, HOLDER: HOLDING}
    wrong = {token for token, operations in lists.items() if (method, path) not in operations}
    may = {*lists, BOTH, ALL} - wrong - ({BOTH} if (method, path) in HOLDING else set())
    for token in {*lists, BOTH, ALL} - may:
        refused = guarded.request(method, AUDIT + path, headers=as_(token), json=content)
        assert (refused.status_code, refused.json()["type"]) == (403, "https://kubernaut.ai/problems/forbidden")
    for token in sorted(may):
        if path == "/holds/lift":
            guarded.post(f"{AUDIT}/holds", headers=as_(HOLDER), json=hold).raise_for_status()
        assert guarded.request(method, AUDIT + path, headers=as_(token), json=content).is_success


@pytest.mark.parametrize(
    "path",
    ["/events/", "//events", "/./events", "/%65vents", "/events%2Fbatch", "/events%0A", "/events%00", "/events;x"],
)
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


@pytest.mark.parametrize(
    "credentials",
    [
        b"",
        b"Bearer\t" + BOTH.encode(),
        f"Bearer {BOTH}, Bearer {BOTH}".encode(),
        f"Bearer {BOTH}ä".encode(),
        f"Bearer {BOTH}ä".encode("latin-1"),
        b"Bearer " + b"x" * 20_000,
    ],
    ids=["empty", "tab", "two", "utf-8", "latin-1", "huge"],
)
def test_what_is_not_one_bearer_token_is_malformed(guarded: httpx.Client, asking: Service, credentials: bytes) -> None:
    answer = guarded.get(f"{AUDIT}/events", headers=[(b"Authorization", credentials)])
    assert (answer.status_code, asking.refusals()) == (401, {"malformed": 1})


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer  "])
def test_the_scheme_is_known_however_it_is_spelled(guarded: httpx.Client, scheme: str) -> None:
    assert guarded.get(f"{AUDIT}/events", headers={"Authorization": f"{scheme} {BOTH}"}).status_code == 200


def test_of_two_headers_none_counts(guarded: httpx.Client) -> None:
    for pair in ((WRITER, READER), (READER, WRITER), (READER, READER)):
        twice = [("Authorization", f"Bearer {token}") for token in pair]
        assert guarded.get(f"{AUDIT}/events", headers=twice).status_code == 401


def test_each_refusal_is_counted_by_its_reason_and_no_token_is_shown(
    guarded: httpx.Client, asking: Service, event: Event, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    stranger = "s" * 30
    answers = [
        guarded.get(f"{AUDIT}/events"),
        guarded.get(f"{AUDIT}/events", headers={"Authorization": stranger}),
        guarded.get(f"{AUDIT}/events", headers=as_(stranger)),
        guarded.get(f"{AUDIT}/events", headers=as_(WRITER)),
        guarded.post(f"{AUDIT}/events", headers=as_(READER), json=event(1)),
        guarded.post(f"{AUDIT}/events", headers=as_(BOTH), json=event(2)),
    ]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 403, 403, 201]
    assert asking.refusals() == {"missing": 1, "malformed": 1, "unknown": 1, "forbidden": 2}
    await_requests_logged(caplog, len(answers))
    told = [vars(record)["fields"] for record in caplog.records if record.name == "datastorage.request"]
    assert [(line.get("caller"), line.get("refused")) for line in told] == [
        (None, "missing"),
        (None, "malformed"),
        (None, "unknown"),
        ("executor", "forbidden"),
        ("auditor", "forbidden"),
        ("both", None),
    ]
    shown = guarded.get("/metrics").text + guarded.get("/openapi.json").text
    shown += "".join(answer.text + str(answer.headers) for answer in answers)
    # What the HTTP client of the test says about its own requests is not the service's.
    logged = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    shown += "".join(logs.JsonFormatter().format(record) for record in logged)
    for token in (stranger, WRITER, READER, BOTH):
        assert token not in shown


def test_refusals_are_declared() -> None:
    for path, operations in document()["paths"].items():
        for operation in operations.values():
            answers = operation["responses"]
            if path.startswith(AUDIT):
                assert {"401", "403", "503"} <= set(answers)
                assert "WWW-Authenticate" in answers["401"]["headers"]
                assert "Retry-After" in answers["503"]["headers"]
            else:
                assert "401" not in answers


def test_a_hold_is_signed_with_the_name_of_the_token(guarded: httpx.Client) -> None:
    """What the caller says of himself is kept beside it."""
    ask = {"correlation_id": "rr-1", "reason": "why", "requested_by": "alice"}
    made = guarded.post(f"{AUDIT}/holds", json=ask, headers=as_(ALL)).json()
    assert (made["set_by"], made["requested_by"]) == ("wfe", "alice")
    told = guarded.get(f"{AUDIT}/events", headers=as_(READER)).json()["data"]
    assert [(event["actor_type"], event["actor_id"]) for event in told] == [("user", "wfe")]


@pytest.mark.parametrize("host", ["x?", "x#", "x/api/v1/audit/export?", "["])
def test_no_host_makes_a_write_look_like_a_read(guarded: httpx.Client, engine: Engine, event: Event, host: str) -> None:
    """What a request asks for is said by its path alone."""
    answer = guarded.post(f"{AUDIT}/events", headers={**as_(READER), "Host": host}, json=event(1))
    assert (answer.status_code, answer.json()["instance"]) == (403, f"{AUDIT}/events")
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(audit_events)).scalar_one() == 0


def test_what_is_not_known_to_read_needs_the_right_to_write(guarded: httpx.Client) -> None:
    for method, status in (("GET", 404), ("POST", 403), ("PUT", 403), ("DELETE", 403)):
        assert guarded.request(method, f"{AUDIT}/new", headers=as_(READER)).status_code == status


@pytest.mark.parametrize(("method", "path"), [("PUT", "/holds"), ("DELETE", "/holds/lift"), ("POST", "/holds/x/y")])
def test_what_is_sent_below_holds_needs_the_right_to_hold(guarded: httpx.Client, method: str, path: str) -> None:
    for token in (WRITER, READER, BOTH):
        assert guarded.request(method, AUDIT + path, headers=as_(token)).status_code == 403
    assert guarded.request(method, AUDIT + path, headers=as_(HOLDER)).status_code in (404, 405)
    assert guarded.post(f"{AUDIT}/holdsx", headers=as_(HOLDER)).status_code == 403
