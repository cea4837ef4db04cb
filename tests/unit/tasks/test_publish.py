"""A message that asks for a flush takes along what was buffered before it is due."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import pytest
from kombu.exceptions import OperationalError

from models.errors import Transient
from models.settings import parse_settings
from tasks import clock
from tasks.publish import Publisher


class Broker:
    """Takes messages, or none."""

    def __init__(self) -> None:
        self.conf = SimpleNamespace(wfe=parse_settings({}, {}, {}))
        self.sent: list[str] = []
        self.away = False

    def send_task(self, name: str, **_: Any) -> None:
        if self.away:
            raise OperationalError("away")
        self.sent.append(name)


def asked(publisher: Publisher, at: float) -> None:
    with patch.object(clock, "monotonic", lambda: at):
        publisher.flush_soon()


def test_one_message_an_interval_asks_for_a_flush() -> None:
    broker = Broker()
    publisher = Publisher(cast("Any", broker), cast("Any", None))
    for at in (10.0, 10.1, 10.79, 10.81, 11.5, 11.62):
        asked(publisher, at)
    assert broker.sent == ["audit.flush"] * 3


def test_a_message_that_was_not_taken_covers_nothing() -> None:
    broker = Broker()
    publisher = Publisher(cast("Any", broker), cast("Any", None))
    broker.away = True
    with pytest.raises(Transient):
        asked(publisher, 10.0)
    broker.away = False
    asked(publisher, 10.1)
    assert broker.sent == ["audit.flush"]
