"""A restoration is vouched for while it gets on: not when it hangs, not when it is over, not by a dead process."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import pytest

from models.errors import Transient
from tasks import attending, clock
from tasks.attending import PATIENCE, SIGN_OF_LIFE, Attendance
from tasks.redis_scripts.hold import RESTORER_LIVES


class Signs:
    def __init__(self) -> None:
        self.told: list[int] = []
        self.away = False

    def attend(self, restoration: int) -> bool:
        if self.away:
            raise Transient("away")
        self.told.append(restoration)
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def passing(self, seconds: float) -> bool:
        self.now += seconds
        return False


@pytest.fixture
def time() -> Iterator[Clock]:
    time = Clock()
    with patch.object(clock, "monotonic", lambda: time.now):
        yield time


def keep_for(attendance: Attendance, time: Clock, seconds: float) -> None:
    end = time.now + seconds
    attendance.keep(lambda pause: time.passing(pause) or time.now > end)


def test_one_request_may_take_long(time: Clock) -> None:
    signs = Signs()
    attendance = Attendance(signs)
    with attendance.at(7):
        keep_for(attendance, time, 30)
        assert signs.told == [7] * int(30 / SIGN_OF_LIFE)
        attendance.moved(7)
        keep_for(attendance, time, 30)
        assert len(signs.told) == 2 * int(30 / SIGN_OF_LIFE)
    keep_for(attendance, time, 10)
    assert len(signs.told) == 2 * int(30 / SIGN_OF_LIFE)


def test_one_that_hangs_is_given_up(time: Clock) -> None:
    signs = Signs()
    attendance = Attendance(signs)
    with attendance.at(7):
        keep_for(attendance, time, 10 * PATIENCE)
    assert len(signs.told) <= PATIENCE / SIGN_OF_LIFE


def test_who_restores_nothing_says_nothing(time: Clock) -> None:
    signs = Signs()
    attendance = Attendance(signs)
    with attendance.at(None):
        attendance.moved(None)
        keep_for(attendance, time, 10)
    assert signs.told == []


def test_an_absent_redis_is_asked_again(time: Clock) -> None:
    signs = Signs()
    attendance = Attendance(signs)
    with attendance.at(7):
        signs.away = True
        keep_for(attendance, time, 5)
        signs.away = False
        keep_for(attendance, time, 5)
    assert 7 in signs.told


def test_a_sign_may_be_late_or_lost_and_a_dead_one_is_succeeded_soon() -> None:
    """With the sweep's period and a message on its way the gate of a dead restorer stays shut for less than 10 s."""
    assert 3 * attending.SIGN_OF_LIFE < RESTORER_LIVES.total_seconds() <= 6
