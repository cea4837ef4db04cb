"""Upkeep goes on for ever: whatever one duty does, the others are done, and it is tried again."""

from __future__ import annotations

import logging
import threading

import pytest
from sqlalchemy.exc import OperationalError

from datastorage.upkeep import Upkeep


@pytest.mark.parametrize("error", [OperationalError("", {}, Exception()), ValueError("a defect")])
def test_a_duty_that_fails_keeps_nobody_from_his(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    thrice = threading.Event()
    calls = {"fails": 0, "works": 0}

    def fails() -> None:
        calls["fails"] += 1
        raise error

    def works() -> None:
        calls["works"] += 1
        if calls["works"] == 3:
            thrice.set()

    upkeep = Upkeep({"fails": fails, "works": works}, interval=0.001)
    assert upkeep.once() is False
    with upkeep:
        assert thrice.wait(30)
    assert calls["fails"] == calls["works"] >= 3


def test_what_works_is_done_at_once_and_then_rests() -> None:
    done = threading.Event()
    calls: list[int] = []

    def work() -> None:
        calls.append(1)
        done.set()

    with Upkeep({"work": work}, interval=3600):
        assert done.wait(30)
    assert len(calls) == 1
