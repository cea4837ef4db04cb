from __future__ import annotations

import pytest

from watcher.backoff import FLOOR, Backoff


def test_the_window_doubles_to_its_cap_and_begins_anew() -> None:
    backoff = Backoff(0.8, 30)
    assert [backoff.next(1.0) for _ in range(8)] == [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30]
    backoff.reset()
    assert backoff.next(0.5) == pytest.approx(0.4)


def test_a_wait_is_never_nothing() -> None:
    assert Backoff().next(0.0) == FLOOR
