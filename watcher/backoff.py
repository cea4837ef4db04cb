"""Growing waits with full jitter. Pure: the draw from [0, 1) is an argument. Seconds."""

from __future__ import annotations

FLOOR = 0.05  # even an unlucky row of draws is no busy loop


class Backoff:
    """A window that doubles from `first` to `last`; a wait is drawn from the whole window."""

    def __init__(self, first: float = 0.8, last: float = 30.0) -> None:
        self._first = first
        self._last = last
        self._window = first

    def next(self, draw: float) -> float:
        """Return the next wait and widen the window."""
        wait = max(self._window * draw, FLOOR)
        self._window = min(self._window * 2, self._last)
        return wait

    def reset(self) -> None:
        """Begin again with the first window: the other side is healthy."""
        self._window = self._first
