"""What each answer of DataStorage, or of what stands before it, means for a batch."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from models.errors import Transient
from tasks.adapters.datastorage import AuditClient, NotStored, Refused, retry_after

PROBLEMS = "https://kubernaut.ai/problems/"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def client(answer: httpx.Response, token_file: str = "") -> AuditClient:
    made = AuditClient("http://datastorage.example", timedelta(seconds=60), token_file)
    made._client._transport = httpx.MockTransport(lambda request: _unread(answer))
    return made


def _unread(answer: httpx.Response) -> httpx.Response:
    return httpx.Response(answer.status_code, headers=answer.headers, content=iter([answer.content]))


def stored(*ids: str) -> httpx.Response:
    return httpx.Response(201, json={"event_ids": ids, "message": "created"})


def problem(code: int, slug: str, **members: object) -> httpx.Response:
    content = json.dumps(
        {"type": PROBLEMS + slug, "status": code, "detail": "event at index 0: no", **members}
    ).encode()
    return httpx.Response(code, content=content)


def test_201_that_names_as_many_is_stored() -> None:
    client(stored("a", "b")).store([b"{}", b"{}"])


@pytest.mark.parametrize("content", [b"", b"{}", b"<html>", b'{"event_ids":["a"', b'{"event_ids":["a"]}', b"[]"])
def test_201_that_does_not_name_them_is_not(content: bytes) -> None:
    """Another service, or an answer that was cut: what is there already is stored once all the same."""
    with pytest.raises(NotStored):
        client(httpx.Response(201, content=content)).store([b"{}", b"{}"])


@pytest.mark.parametrize(
    "code", [200, 202, 204, 302, 401, 403, 404, 405, 408, 411, 415, 425, 429, 431, 451, 500, 502, 503]
)
@pytest.mark.parametrize("events", [1, 2])
def test_what_says_nothing_about_the_events_is_tried_again(code: int, events: int) -> None:
    with pytest.raises(NotStored):
        client(problem(code, "validation-error")).store([b"{}"] * events)


@pytest.mark.parametrize("code", [400, 409, 413, 422])
def test_what_may_be_about_one_of_many_is_split_whoever_says_it(code: int) -> None:
    for answer in (httpx.Response(code, text="<html>"), problem(code, "batch-size-exceeded")):
        with pytest.raises(Refused):
            client(answer).store([b"{}", b"{}"])


@pytest.mark.parametrize("slug", ["validation-error", "invalid-json", "event-conflict", "request-too-large"])
def test_one_event_is_refused_with_the_problem_document(slug: str) -> None:
    with pytest.raises(Refused) as caught:
        client(problem(400, slug, errors=[{"field": "event_id"}])).store([b"{}"])
    assert caught.value.reason == slug
    assert caught.value.problem["errors"] == [{"field": "event_id"}]
    assert str(caught.value) == f"DataStorage answered 400 {slug}: event at index 0: no"


@pytest.mark.parametrize("code", [400, 409, 413, 422])
def test_nobody_but_datastorage_refuses_one_event(code: int) -> None:
    for answer in (
        httpx.Response(code, text="<html>413</html>"),
        httpx.Response(code, json={"type": "about:blank", "detail": "no"}),
        httpx.Response(code, json={"type": "validation-error"}),
        problem(code, "http-error"),
    ):
        with pytest.raises(NotStored):
            client(answer).store([b"{}"])


def test_why_is_one_of_a_few_words() -> None:
    for code, cause in ((401, "unauthorized"), (403, "forbidden"), (429, "busy"), (503, "busy"), (500, "failed")):
        with pytest.raises(NotStored) as caught:
            client(httpx.Response(code)).store([b"{}"])
        assert caught.value.cause == cause
    with pytest.raises(NotStored) as caught:
        client(stored("a"), "/nowhere/token").store([b"{}"])
    assert (caught.value.cause, "audit.token_file" in str(caught.value)) == ("unauthorized", True)


def test_it_says_how_long_to_wait_and_its_text_is_cut() -> None:
    with pytest.raises(NotStored) as caught:
        client(httpx.Response(503, headers={"Retry-After": "7"}, text="x" * 10_000)).store([b"{}"])
    assert caught.value.retry_after == timedelta(seconds=7)
    assert len(str(caught.value)) < 600
    str(caught.value).encode()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "120"}, 120),
        ({"Retry-After": "9" * 400}, 3600),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "1.5"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Sun, 01 Mar 2026 12:00:30 GMT"}, 30),
        ({"Retry-After": "Sun, 01 Mar 2026 11:59:00 GMT"}, 0),
        ({"Retry-After": "Sun, 01 Mar 2126 12:00:00 GMT"}, 3600),
        ({"Retry-After": "Sun, 01 Mar 2026 14:00:30 GMT", "Date": "Sun, 01 Mar 2026 14:00:00 GMT"}, 30),
        ({"Retry-After": "Sun, 01 Mar 2026 12:00:30 GMT", "Date": "today"}, 30),
        ({"Retry-After": "Sun, 99 Mar 2026 12:00:30 GMT"}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date_by_the_clock_of_who_says_it(
    headers: dict[str, str], seconds: int | None
) -> None:
    assert retry_after(httpx.Headers(headers), NOW) == (None if seconds is None else timedelta(seconds=seconds))


def test_a_token_that_cannot_be_read_is_tried_again() -> None:
    with pytest.raises(Transient):
        client(stored("a"), "/nowhere/token").store([b"{}"])
