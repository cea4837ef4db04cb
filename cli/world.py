"""Look around for `wfe why` and `wfe describe`: ask Redis, the API server and DataStorage what explains an execution.

A side that does not answer becomes a fault in the result, never an error: that it is away is the explanation.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import httpx

from cli.access import Access
from cli.errors import CommandError
from cli.explain import UNHEEDED
from cli.explanation import World
from cli.freezing import frozen_now
from cli.workers import listen_for_workers
from models.audit import pending_events
from models.errors import Permanent, Transient
from models.execution import Execution
from models.freeze import Freeze
from models.hold import Busy
from models.rules.cooldown import blocks
from tasks import clock
from tasks.adapters.authorities import Authorities, Untrusted
from tasks.adapters.deadline import Deadline, limited_transport
from tasks.adapters.engines import ClusterRuns
from tasks.redis_scripts.glance import glance

_HEALTH_PATIENCE = timedelta(seconds=3)


def look_around(access: Access, execution: Execution) -> World:
    """Return what is to be seen about one execution. Raises ExecutorError when the API server does not answer."""
    world = _ask_redis(access, execution, World(now=clock.now()))
    world = replace(
        world,
        run_namespace=access.settings.execution.namespace,
        cancel_timeout=access.settings.execution.cancel_timeout,
        blocks=blocks(execution.status, access.policy),
        frozen=_freeze(access, execution),
    )
    if execution.status.run_name:
        world = _look_at_run(access, execution, world)
    if world.unstored:
        world = replace(world, datastorage_fault=datastorage_fault(access))
    return world


def _look_at_run(access: Access, execution: Execution, world: World) -> World:
    """Add the run and its tasks; who may look at executions only is told so."""
    runs = ClusterRuns(access.cluster, access.settings.execution.namespace)
    try:
        run = runs.get(execution.status.run_name, execution.spec.engine)
        own = run is not None and run.execution_uid in ("", execution.uid)
        world = replace(world, run=run if own else None)
        if own and run is not None and run.succeeded is None:
            world = replace(world, task=next((t for t in runs.task_runs(run) if t.succeeded is None), None))
        if run is None and execution.deleted_at is not None:
            world = replace(world, remains=runs.remains(execution.status.run_name))
    except Permanent as refused:
        return replace(world, run_fault=str(refused))
    return world


def _ask_redis(access: Access, execution: Execution, world: World) -> World:
    try:
        seen = glance(access.redis, access.settings.redis.prefix, execution.key)
        world = replace(world, now=seen.now, due=seen.due, pass_running=seen.running, failed_passes=seen.failed)
        if execution.spec.target:
            world = replace(world, hold=access.holds.look(execution.spec.target, execution.uid))
        if execution.status.pending_facts:
            # What is acknowledged leaves the status with its next write only.
            acknowledged = access.outbox.acked(execution.uid)
            unstored = [event for event in pending_events(execution) if event.event_id not in acknowledged]
            refused = access.outbox.problems([event.event_id for event in unstored])
            world = replace(world, unstored=len(unstored), outbox=access.outbox.size(), refused=tuple(refused.values()))
            world = replace(world, outbox_trouble=access.outbox.trouble().words)
        overdue = seen.due is not None and not seen.running and seen.now - seen.due > UNHEEDED
        if overdue and not execution.status.phase.terminal:
            world = replace(world, workers=len(listen_for_workers(access.settings)))
        return _ask_about_holder(access, world)
    except Transient as fault:
        return replace(world, redis_fault=str(fault))


def _ask_about_holder(access: Access, world: World) -> World:
    """Find out whether who holds the target has ended; the instant at which its key is due is when it lets go."""
    if not isinstance(world.hold, Busy):
        return world
    try:
        holder = access.find(world.hold.holder)
    except Permanent:  # it is in a namespace that the caller may not look into
        return world
    if holder is None or not holder.status.phase.terminal:
        return world
    if blocks(holder.status, access.policy):
        return replace(world, holder_ended=True, holder_blocks=True)
    due = glance(access.redis, access.settings.redis.prefix, holder.key).due
    if due is None and holder.status.completed_at is not None:
        due = holder.status.completed_at + access.settings.execution.cooldown_period
    return replace(world, holder_ended=True, rests_until=due)


def _freeze(access: Access, execution: Execution) -> Freeze | None:
    """Return the freeze in force; who may not read it is told of it by the status alone."""
    if execution.status.phase.terminal:
        return None
    try:
        return frozen_now(access)
    except (Permanent, CommandError):
        return None


def datastorage_fault(access: Access) -> str:
    """Return why DataStorage cannot store events now, empty when it can."""
    audit = access.settings.audit
    url = f"{audit.datastorage_url}/health/ready"
    transport = limited_transport(Deadline(), Authorities(audit.ca_file))
    try:
        with httpx.Client(timeout=_HEALTH_PATIENCE.total_seconds(), trust_env=False, transport=transport) as client:
            answer = client.get(url)
    except (httpx.HTTPError, Untrusted) as error:
        return f"{url}: {error}"
    return "" if answer.status_code == 200 else f"{url} answers {answer.status_code}"
