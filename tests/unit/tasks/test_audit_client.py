"""What each answer of DataStorage means for a batch."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from models.errors import Permanent, Transient
from tasks.adapters.datastorage import AuditClient


def client(answer: httpx.Response) -> AuditClient:
    made = AuditClient("http://datastorage.example", timedelta(seconds=1))
    made._client = httpx.Client(
        base_url="http://datastorage.example", transport=httpx.MockTransport(lambda request: answer)
    )
    return made


def test_only_201_is_stored() -> None:
    client(httpx.Response(201)).store([b"{}"])


@pytest.mark.parametrize("code", [200, 202, 204, 302, 401, 403, 404, 408, 425, 429, 500, 502, 503])
def test_what_says_nothing_about_the_events_is_tried_again(code: int) -> None:
    with pytest.raises(Transient):
        client(httpx.Response(code)).store([b"{}"])


@pytest.mark.parametrize("code", [400, 409, 413, 422])
def test_what_refuses_the_events_is_not(code: int) -> None:
    with pytest.raises(Permanent):
        client(httpx.Response(code)).store([b"{}"])


def test_it_says_how_long_to_wait_and_its_text_is_cut() -> None:
    with pytest.raises(Transient) as caught:
        client(httpx.Response(503, headers={"Retry-After": "7"}, text="x" * 10_000)).store([b"{}"])
    assert caught.value.retry_after == timedelta(seconds=7)
    assert len(str(caught.value)) < 600
