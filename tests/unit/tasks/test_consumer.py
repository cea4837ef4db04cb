"""How long a worker waits before it connects again to a Redis that answers and does not work, and what it says."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from celery.worker.consumer import Consumer as CelerysConsumer
from celery.worker.consumer import consumer as celerys

from models.settings import parse_settings
from tasks import clock, consumer
from tasks.app import build_app

READ_ONLY = ConnectionError("You can't write against a read only replica.")


class Waits:
    """The time of a test: it passes in waits, and as the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.seen: list[float] = []
        monkeypatch.setattr(clock, "monotonic", lambda: self.now)
        monkeypatch.setattr("tasks.consumer.sleep", self._wait)

    def _wait(self, seconds: float) -> None:
        self.seen.append(seconds)
        self.now += seconds


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    return Waits(monkeypatch)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> consumer.Consumer:
    """A consumer of which Celery's half only says what it says."""
    monkeypatch.setattr(CelerysConsumer, "__init__", lambda self: None)

    def speak(self: object, exc: Exception) -> None:
        celerys.warn(celerys.CONNECTION_RETRY, exc_info=exc)

    monkeypatch.setattr(CelerysConsumer, "on_connection_error_after_connected", speak)
    return consumer.Consumer()


def test_a_worker_of_ours_is_that_patient() -> None:
    celery: Any = build_app(parse_settings({}, {}, {}))
    assert celery.conf.worker_consumer == "tasks.consumer:Consumer"


def test_waits_grow_to_a_second_and_a_few_are_told(
    worker: consumer.Consumer, waits: Waits, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(600):
        waits.now += 0.15
        worker.on_connection_error_after_connected(READ_ONLY)
    assert waits.seen[:6] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert max(waits.seen) == 1.0
    assert len(caplog.records) == 10
    assert not any(record.exc_info for record in caplog.records)
    assert caplog.messages[0] == (
        "Redis lost or does not work, try 1 in 0.1 s: ConnectionError: You can't write against a read only replica."
    )


def test_new_trouble_is_met_at_once(worker: consumer.Consumer, waits: Waits, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(10):
        worker.on_connection_error_after_connected(READ_ONLY)
    waits.now += consumer.CALM + 1
    worker.on_connection_error_after_connected(READ_ONLY)
    assert waits.seen[-1] == consumer.FIRST_WAIT
    assert "try 1 in" in caplog.messages[-1]
