"""Sweep and resync: what finds lost hints, and what rebuilds Redis from the API server."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import TypeVar

from models.errors import Conflict, ExecutorError, Transient
from models.keys import Key
from models.restore import Restored, restore
from models.run import Run
from tasks import clock
from tasks.app import RESYNC_TASK, SWEEP, app
from tasks.attending import SIGN_OF_LIFE
from tasks.parts import Parts, worker_parts
from tasks.redis_scripts.queue import Kick

T = TypeVar("T")
log = logging.getLogger(__name__)

AT_ONCE = timedelta(0)
SWEEP_LIMIT = 1000
"""Keys kicked by one sweep; the next comes seconds later."""


@app.task(name=SWEEP)
def sweep_task() -> None:
    """Kick what is due and has no message under way, and targets that are free with somebody in line."""
    parts = worker_parts()
    sweep(parts)
    parts.metrics.ticked("sweep", clock.now())


@app.task(name=RESYNC_TASK)
def resync_task() -> None:
    """Make every unfinished execution due; restore holders and lines first when Redis lost them."""
    parts = worker_parts()
    resync(parts)
    parts.metrics.ticked("resync", clock.now())


def sweep(parts: Parts) -> None:
    """Set right what was lost. Raises Transient when Redis is away."""
    if not parts.holds.gate_open():
        if not parts.holds.restoring():
            parts.publisher.resync()
        return
    overdue = parts.queue.overdue(SWEEP_LIMIT)
    parts.publisher.kick(Kick(key, AT_ONCE) for key in overdue)
    parts.metrics.repaired.labels("message").inc(len(overdue))
    parts.publisher.kick(parts.queue.upcoming(SWEEP_LIMIT, parts.settings.celery.horizon))
    heads = parts.holds.waiting_heads()
    parts.publisher.remind(heads)
    parts.metrics.repaired.labels("line").inc(len(heads))


def resync(parts: Parts) -> None:
    """Rebuild what Redis must hold from consistent lists. Raises Transient when either side is away.

    While the gate is open nothing is written for others: each execution's own pass registers it. Holders that the
    API server no longer knows are asked for once more by name, because a list is older than a hold taken since.
    """
    restoration = parts.holds.begin_restore()
    try:
        with parts.attendance.at(restoration):
            runs = list(_attended(parts.runs.all(), parts, restoration))
            executions = list(_attended(parts.executions.all(), parts, restoration))
            found = restore(executions, runs, parts.queue.now(), parts.policy)
            if restoration is not None:
                _reopen(parts, found, runs, restoration)
    except Exception:
        if restoration is not None:
            with suppress(ExecutorError):
                parts.holds.give_up(restoration)
        raise
    parts.publisher.wake([*found.unfinished, parts.freeze.key], hot=False)
    known = {execution.uid for execution in executions}
    held = parts.holds.all()
    for hold in held:
        if hold.uid not in known:
            _vanish_if_gone(parts, hold.key, hold.uid)
    _wake_idle_holders(parts, [hold.key for hold in held if hold.uid in known], found)
    for run in found.orphans:
        _delete_if_orphaned(parts, run)


def _attended(items: Iterable[T], parts: Parts, restoration: int | None) -> Iterator[T]:
    """Yield, and say now and then, and at the end, that the restoration lives, however much or little there is."""
    told = clock.monotonic()
    for item in items:
        parts.attendance.moved(restoration)
        if restoration is not None and clock.monotonic() > told + SIGN_OF_LIFE:
            parts.holds.attend(restoration)
            told = clock.monotonic()
        yield item
    parts.attendance.moved(restoration)
    if restoration is not None:
        parts.holds.attend(restoration)


def _reopen(parts: Parts, found: Restored, runs: Iterable[Run], restoration: int) -> None:
    for hold in _attended(found.holds, parts, restoration):
        parts.holds.restore(hold.target, hold.owner, hold.fence, hold.since)
    for place in _attended(found.places, parts, restoration):
        parts.holds.restore_place(place.target, place.owner)
    # Who released a target waited until nothing was left, but nobody knows any more who released what; a run that
    # nobody holds for may be gone, and have left something, before anybody looks at it.
    left = set(_attended(parts.runs.leftovers(), parts, restoration))
    parts.holds.suspect(left.union(run.name for run in runs))
    if not parts.holds.open_gate(restoration):
        raise Transient("another restoration began, or Redis was emptied again: this one does not count")
    log.warning(
        "Redis was empty: restored %d holds and %d places in lines from the API server, %d executions unfinished",
        len(found.holds),
        len(found.places),
        len(found.unfinished),
    )


def _wake_idle_holders(parts: Parts, holders: Iterable[Key], found: Restored) -> None:
    """Let who holds a target and has nothing left to do free it: a take that was stopped on its way came too late."""
    idle = set(holders).difference(found.unfinished)
    parts.publisher.wake(sorted(idle), hot=False)
    parts.metrics.repaired.labels("hold").inc(len(idle))


def _vanish_if_gone(parts: Parts, key: Key, uid: str) -> None:
    if not _lives(parts, key, uid):
        parts.publisher.wake(parts.holds.vanish(key, uid))
        parts.metrics.repaired.labels("hold").inc()


def _delete_if_orphaned(parts: Parts, run: Run) -> None:
    """Delete a run whose execution is gone, unless the API server, asked by name, still knows it."""
    key = run.execution_key
    if key is not None and _lives(parts, key, run.execution_uid):
        return
    parts.holds.suspect([run.name])
    try:
        parts.runs.delete(run)
    except Conflict as taken:
        log.info("orphaned run is gone already: %s", taken)
    else:
        parts.metrics.repaired.labels("run").inc()


def _lives(parts: Parts, key: Key, uid: str) -> bool:
    """Ask the API server whether it still knows an execution; one that cannot be read keeps what it has."""
    try:
        execution = parts.executions.get(key)
    except ExecutorError:
        raise
    except Exception:
        log.exception("%s cannot be read and keeps what it has", key)
        return True
    return execution is not None and execution.uid == uid
