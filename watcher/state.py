"""How a stream is doing, for probes and metrics. Written by its thread, read by any."""

from __future__ import annotations

from tasks import clock


class StreamState:
    """What is known of one stream; monotonic seconds inside, a wall clock instant for the metric."""

    def __init__(self, resource: str, *, required: bool) -> None:
        self.resource = resource
        self.required = required
        self.listed = False
        self.absent = False
        self.objects = 0
        self.last_event = 0.0
        self._heard_at = clock.monotonic()

    @property
    def silent_for(self) -> float:
        """Return for how many seconds the server has said nothing on this stream."""
        return clock.monotonic() - self._heard_at

    @property
    def ready(self) -> bool:
        """Whether everything is listed; a type that need not exist is also ready while it is absent."""
        return self.listed or (self.absent and not self.required)

    def heard(self) -> None:
        """Note that the server answered."""
        self._heard_at = clock.monotonic()

    def heard_event(self) -> None:
        """Note an event or a bookmark."""
        self._heard_at = clock.monotonic()
        self.last_event = clock.now().timestamp()

    def found_listed(self, objects: int) -> None:
        """Note that a whole list was taken over."""
        self.listed, self.absent, self.objects = True, False, objects
        self.heard_event()

    def found_absent(self) -> None:
        """Note that the server answered that it does not know the type."""
        self.listed, self.absent, self.objects = False, True, 0
        self.heard_event()
