"""Task events for Flower, none of them lost.

Celery 5.6 gathers events in a list, publishes the list and empties it. With the threads pool an event that another
thread adds in between is wiped unseen, and Flower shows a task that has long ended as RECEIVED (celery/celery#10434).
What cannot be published a second time is forgotten likewise (#6487). Here only what was published is taken off. To be
removed when a release that mends both is taken.
"""

from __future__ import annotations

from typing import Any

from celery import bootsteps
from celery.app.events import Events
from celery.events.dispatcher import EventDispatcher

FLUSH_EVERY = 0.25  # seconds


class Dispatcher(EventDispatcher):  # type: ignore[misc]
    """Publishes gathered events; threads may add more meanwhile. `flush` may be called by any thread."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Ignore who wants to publish with each turn of the loop: `EventFlush` does."""
        super().__init__(*args, **{**options, "on_send_buffered": None})

    def flush(self, errors: bool = True, groups: bool = True) -> None:
        """Publish what is gathered; nothing is sent for a group without events."""
        with self.mutex:
            refused = list(self._outbound_buffer) if errors else []
            for _ in refused:
                self._outbound_buffer.popleft()
            for events, routing_key, _ in refused:
                self._publish(events, self.producer, routing_key)
            for group, events in self._group_buffer.items() if groups else ():
                gathered = events[:]
                if gathered:
                    self._publish(gathered, self.producer, f"{group}.multi")
                    del events[: len(gathered)]


class EventFlush(bootsteps.StartStopStep):  # type: ignore[misc]
    """Publishes what was gathered, four times a second in the consumer's event loop, and at its end."""

    requires = ("celery.worker.consumer.events:Events",)
    _timer: Any = None

    def start(self, consumer: Any) -> None:
        """Begin, after a lost connection again."""
        self._timer = consumer.timer.call_repeatedly(FLUSH_EVERY, self._flush, (consumer,))

    def stop(self, consumer: Any) -> None:
        """Publish the last ones: the consumer ends, or connects anew."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._flush(consumer)

    def _flush(self, consumer: Any) -> None:
        if consumer.event_dispatcher is not None:
            consumer.event_dispatcher.flush()


class TaskEvents(Events):  # type: ignore[misc]
    """`app.events` with that dispatcher."""

    dispatcher_cls = "tasks.task_events:Dispatcher"
