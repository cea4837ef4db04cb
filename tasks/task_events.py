"""Task events for Flower, none of them lost.

Celery 5.6 gathers events in a list, publishes the list and empties it. With the threads pool an event that another
thread adds in between is wiped unseen, and Flower shows a task that has long ended as RECEIVED (celery/celery#10434).
What cannot be published a second time is forgotten likewise (#6487). Here only what was published is taken off. To be
removed when a release that mends both is taken.
"""

from __future__ import annotations

from celery.app.events import Events
from celery.events.dispatcher import EventDispatcher


class Dispatcher(EventDispatcher):  # type: ignore[misc]
    """Publishes gathered events; threads may add more meanwhile. `flush` may be called by any thread."""

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


class TaskEvents(Events):  # type: ignore[misc]
    """`app.events` with that dispatcher."""

    dispatcher_cls = "tasks.task_events:Dispatcher"
