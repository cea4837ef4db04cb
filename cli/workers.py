"""Which workers are alive: listen to the heartbeats that every Celery worker sends each two seconds.

Nothing is sent: the workers' remote control is off.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from kombu.exceptions import OperationalError

from models.errors import Transient
from models.settings import Settings
from tasks import clock

LISTEN: Final = timedelta(seconds=2.5)


def listen_for_workers(settings: Settings, span: timedelta = LISTEN) -> list[str]:
    """Return the names of the workers that were heard, sorted. Raises Transient when Redis does not answer."""
    from tasks.app import build_app  # the app reads the settings of this process when it is imported

    heard: set[str] = set()

    def note(event: dict[str, Any]) -> None:
        heard.add(str(event["hostname"]))

    deadline = clock.monotonic() + span.total_seconds()
    try:
        app = build_app(settings)
        with app.connection_for_read() as connection:
            receiver = app.events.Receiver(connection, handlers={"*": note}, routing_key="worker.#")
            # It listens on a connection of its own.
            with receiver.consumer_context(wakeup=False) as (listening, _, _):
                while (left := deadline - clock.monotonic()) > 0:
                    try:
                        listening.drain_events(timeout=left)
                    except TimeoutError:
                        break
    except (OperationalError, OSError) as error:
        raise Transient(f"Redis: {error}") from error
    return sorted(heard)
