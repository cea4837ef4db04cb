"""The task that brings one execution one step further, and its twin for due instants.

A pass that cannot be finished now is due again after a growing delay kept in Redis; no message is ever needed for it.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial

from models.errors import Conflict, Permanent, Transient
from models.keys import Key
from tasks import clock
from tasks.app import RECONCILE, WAKE, app
from tasks.freezing import tend_freeze
from tasks.parts import Parts, draw_jitter, worker_parts
from tasks.passes.reconcile import run_pass
from tasks.passes.telling import words_of
from tasks.redis_scripts.queue import Claim, Kick, NotDue

log = logging.getLogger(__name__)

LOOK_AGAIN = timedelta(milliseconds=10)
TRY_AGAIN = timedelta(milliseconds=500)
"""Waits after the first pass that did not get through; each further one in a row waits twice as long."""
LONGEST_REFUSAL = timedelta(minutes=1)
"""Rights that were missing may be back any time, and nobody tells us when."""


@app.task(name=RECONCILE)
def reconcile(key: str) -> None:
    """Make the pass of a key that is due; anything else about it is left to whoever is at it."""
    run_key(Key.parse(key), worker_parts())


@app.task(name=WAKE)
def wake(key: str) -> None:
    """Do the same at a due instant: a name of its own, so that operators see timers as timers."""
    run_key(Key.parse(key), worker_parts())


def run_key(key: Key, parts: Parts) -> None:
    """Claim a key, make its pass, and say when it wants the next. Raises Transient when Redis is away."""
    claim = parts.claims.start(key)
    if isinstance(claim, NotDue) and claim.delay is not None:
        parts.publisher.kick([Kick(key, claim.delay)])
    if isinstance(claim, Claim):
        try:
            _claimed(claim, parts)
        finally:
            parts.claims.end(claim)


def _claimed(claim: Claim, parts: Parts) -> None:
    key = claim.key
    began = clock.monotonic()
    next_wake, result = None, "done"
    try:
        if key == parts.freeze.key:
            next_wake = tend_freeze(claim.now, parts)
        else:
            confirm = partial(parts.claims.confirm, claim)
            next_wake = run_pass(key, claim.now, parts.policy, parts.ports, draw_jitter, confirm)
    except Conflict as lost:
        result = "conflict"
        log.info("%s: looked again: %s", key, lost)
    except Transient as fault:
        result = "transient"
        log.warning("%s: tried again later: %s", key, fault)
    except Permanent as refused:
        result = "refused"
        log.error("%s: refused, tried again with growing delay: %s", key, refused)
        next_wake = claim.now + LONGEST_REFUSAL
    except Exception as fault:
        result = "error"
        log.exception("%s: pass failed, tried again with growing delay", key)
        _complain(claim, fault, parts)
    parts.metrics.passes.labels(result).inc()
    parts.metrics.pass_time.observe(clock.monotonic() - began)
    # A lost race is over as soon as it is seen, but one that is lost for ever must not keep a worker busy.
    first = LOOK_AGAIN if result == "conflict" else TRY_AGAIN
    kick = parts.queue.done(claim, next_wake, failed=result != "done", first=first, jitter=draw_jitter() * 0.1)
    parts.publisher.kick([kick] if kick is not None else [])


def _complain(claim: Claim, fault: Exception, parts: Parts) -> None:
    """Let people see a defect where they look for their execution; that it cannot be told changes nothing."""
    try:
        parts.executions.complain(claim.key, words_of(fault), claim.now)
    except Exception:
        log.exception("%s: Kubernetes Event not written", claim.key)
