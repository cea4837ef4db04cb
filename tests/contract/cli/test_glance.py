"""What `wfe why` sees of the work queue is what the queue does; looking changes nothing."""

from __future__ import annotations

from datetime import timedelta

import redis

from models.keys import Key
from tasks.redis_scripts.glance import glance
from tasks.redis_scripts.queue import Claim, WorkQueue

KEY = Key("default", "restart")


def test_a_key_is_seen_due_then_running_then_failed(redis_client: redis.Redis) -> None:
    queue = WorkQueue(redis_client, "t", horizon=timedelta(seconds=60), claim=timedelta(minutes=10))
    nothing = glance(redis_client, "t", KEY)
    assert (nothing.due, nothing.running, nothing.failed) == (None, False, 0)

    queue.notify([KEY])
    due = glance(redis_client, "t", KEY)
    assert due.due is not None
    assert timedelta(0) <= due.now - due.due < timedelta(minutes=1)
    assert not due.running

    claim = queue.start(KEY)
    assert isinstance(claim, Claim)
    taken = glance(redis_client, "t", KEY)
    assert (taken.due, taken.running) == (None, True)

    queue.done(claim, None, failed=True)
    failed = glance(redis_client, "t", KEY)
    assert (failed.running, failed.failed) == (False, 1)
    assert failed.due is not None
    assert failed.due > claim.now
    assert glance(redis_client, "t", KEY).due == failed.due
