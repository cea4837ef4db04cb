"""An event that a thread adds while others are being published is published with the next."""

from __future__ import annotations

from typing import Any

from tests.unit.tasks.test_app import app


class Wire:
    """Stands for a producer; `meanwhile` happens in the middle of a publication."""

    def __init__(self) -> None:
        self.sent: list[list[str]] = []
        self.meanwhile: list[Any] = []
        self.broken = False

    def publish(self, events: Any, **_: Any) -> None:
        if self.broken:
            raise OSError("the broker is away")
        self.sent.append([event["type"] for event in events])
        for act in self.meanwhile:
            act()
        self.meanwhile = []


def _dispatcher(wire: Wire) -> Any:
    made = app().events.Dispatcher(enabled=False, buffer_group=["task"])
    made.producer, made.enabled = wire, True
    return made


def test_what_is_added_in_the_middle_is_not_lost() -> None:
    wire = Wire()
    dispatcher = _dispatcher(wire)
    dispatcher.send("task-started")
    wire.meanwhile = [lambda: dispatcher.send("task-succeeded")]
    dispatcher.flush()
    dispatcher.flush()
    dispatcher.flush()
    assert wire.sent == [["task-started"], ["task-succeeded"]]


def test_what_could_not_be_published_comes_later() -> None:
    wire = Wire()
    dispatcher = _dispatcher(wire)
    dispatcher.send("task-started")
    wire.broken = True
    dispatcher.flush()
    dispatcher.flush()
    wire.broken = False
    dispatcher.send("task-succeeded")
    dispatcher.flush()
    assert sorted(wire.sent) == [["task-started"], ["task-succeeded"]]
