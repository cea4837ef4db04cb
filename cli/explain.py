"""Why an execution is where it is: one sentence and the next step. Pure; what was seen comes in as a `World`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final, assert_never

from cli.ended import ended
from cli.explanation import Explanation, World, span_words
from cli.plain import one_line
from cli.under_way import under_way
from models.execution import Execution
from models.hold import GateClosed, Mine
from models.instants import format_instant
from models.status import Phase

UNHEEDED: Final = timedelta(seconds=5)
"""How long a due key may lie before somebody should ask where the workers are; the sweep kicks again meanwhile."""


def explain(execution: Execution, world: World) -> Explanation:
    """Say why the execution is where it is, and what a person can do about it."""
    match execution.status.phase:
        case Phase.COMPLETED | Phase.FAILED | Phase.SKIPPED if execution.deleted_at is None:
            told = _with_trouble(ended(execution, world), execution, world)
        case Phase.PENDING | Phase.RUNNING | Phase.COMPLETED | Phase.FAILED | Phase.SKIPPED:
            told = _unheeded(execution, world) or under_way(execution, world)
        case _ as never:
            assert_never(never)
    told = _with_backlog(told, execution, world)
    return replace(told, sentence=told.sentence.rstrip("."))


def _unheeded(execution: Execution, world: World) -> Explanation | None:
    """Return what keeps passes from happening at all, None when they do."""
    if world.redis_fault:
        return Explanation(
            f"Redis does not answer, so nothing starts or is recorded until it is back ({world.redis_fault})",
            "bring Redis back; nothing is lost meanwhile, runs go on (`wfe status` shows every part)",
        )
    if isinstance(world.hold, GateClosed):
        return Explanation(
            "Redis came back empty and the holds on targets are being restored from the API server",
            "wait a few seconds; if it stays so, `wfe status` shows whether a watcher leads and workers run",
        )
    if world.due is not None and not world.pass_running and world.now - world.due > UNHEEDED:
        waited = span_words(world.now - world.due)
        if world.workers == 0:
            return Explanation(f"no worker is running; it has waited {waited} for one", "start a worker, `wfe status`")
        running = "" if world.workers is None else f" ({world.workers} running)"
        return Explanation(
            f"no worker has taken it for {waited}{running}", "`wfe status` shows the workers and how much is queued"
        )
    if world.failed_passes > 1:
        again = f"; the next is at {format_instant(world.due)}" if world.due is not None else ""
        return Explanation(
            f"the last {world.failed_passes} looks at it failed{again}",
            f"the workers' logs say why: look for {execution.key}",
        )
    unseen = not execution.guarded and execution.deleted_at is None and world.due is None and not world.pass_running
    if unseen and world.now - execution.created_at > UNHEEDED:
        waited = span_words(world.now - execution.created_at)
        return Explanation(
            f"no watcher has noticed it in the {waited} since it was created",
            "`wfe status` shows whether a watcher leads",
        )
    return None


def _with_trouble(told: Explanation, execution: Execution, world: World) -> Explanation:
    """Add that an ended execution cannot let go of its target, which keeps others waiting."""
    if world.failed_passes < 2 or not isinstance(world.hold, Mine):
        return told
    again = f"; the next is at {format_instant(world.due)}" if world.due is not None else ""
    held = f"its target is still held, because the last {world.failed_passes} looks at it failed{again}"
    name, namespace = execution.key.name, execution.key.namespace
    step = f"`kubectl events --for wfe/{name} -n {namespace}` says what is refused (CleanupFailed), and so do the logs"
    return Explanation(f"{told.sentence.rstrip('.')}; {held}", step)


def _with_backlog(told: Explanation, execution: Execution, world: World) -> Explanation:
    """Add that audit events are not stored yet, where that is more than the usual second."""
    if world.refused:
        sentence = f"{told.sentence}; DataStorage refused {len(world.refused)} of its audit events ({world.refused[0]})"
        return Explanation(sentence, "`wfe audit quarantine list` shows them; correct the cause, then `… retry`")
    oldest = min((fact.at for fact in execution.status.pending_facts), default=world.now)
    if not world.unstored or world.now - oldest < UNHEEDED:
        return told
    why = world.datastorage_fault or one_line(world.outbox_trouble) or f"{world.outbox} are queued in all"
    sentence = f"{told.sentence}; {world.unstored} of its audit events wait for DataStorage ({why})"
    return Explanation(sentence, told.next_step)
