"""Wait for a state, with a deadline; never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(look: Callable[[], T], seconds: float, what: str, every: float = 0.05) -> T:
    """Look until the answer is true and return it; fail with what was waited for and the last answer.

    The last look begins after the deadline: whoever was paused for longer than that has looked, too.
    """
    deadline = time.monotonic() + seconds
    while True:
        late = time.monotonic() > deadline
        answer = look()
        if answer:
            return answer
        if late:
            raise AssertionError(f"not within {seconds} s: {what}; last seen: {answer!r}")
        time.sleep(every)
