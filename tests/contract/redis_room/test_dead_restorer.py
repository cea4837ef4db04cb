"""A process that dies while it restores, on a real Redis: nobody else begins while it lives, another soon after."""

from __future__ import annotations

import subprocess
import sys
import time

import redis

from tasks.redis_scripts.hold import RESTORER_LIVES, Holds
from tests.waiting import until

RESTORER = """
import sys, threading
import redis
from tasks.attending import Attendance
from tasks.redis_scripts.hold import Holds

holds = Holds(redis.Redis.from_url(sys.argv[1]), "t")
attendance = Attendance(holds)
threading.Thread(target=attendance.keep, args=(threading.Event().wait,), daemon=True).start()
with attendance.at(holds.begin_restore()):
    print("restores", flush=True)
    threading.Event().wait(60)  # one request that takes long
"""
SIGNS = 5
"""Together they last longer than one counts."""

SHUT_AT_MOST = 10.0 - 2.0
"""Seconds, without the two that may pass until the next sweep."""


def test_a_restorer_in_a_long_request_is_left_alone_and_a_dead_one_succeeded(
    redis_client: redis.Redis, redis_url: str
) -> None:
    holds = Holds(redis_client, "t")
    with subprocess.Popen([sys.executable, "-c", RESTORER, redis_url], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "restores\n"
            signs, left = 0, RESTORER_LIVES.total_seconds() * 1000
            while signs < SIGNS:
                assert holds.begin_restore() is None
                before, left = left, float(str(redis_client.pttl("t:restoring")))
                assert 0 < left <= RESTORER_LIVES.total_seconds() * 1000
                signs += left > before
                time.sleep(0.05)
        finally:
            process.kill()
    # What is left of the last sign of life is all that has to pass.
    assert redis_client.pttl("t:restoring") <= SHUT_AT_MOST * 1000
    until(holds.begin_restore, 60, "another begins to restore")
