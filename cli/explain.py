"""Why an execution is where it is: one sentence and the next step. Pure; what was seen comes in as a `World`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, assert_never

from cli.table import short_age
from models.execution import Execution
from models.hold import Busy, Free, GateClosed, HoldView, Mine
from models.instants import format_instant
from models.keys import Key
from models.run import Run, TaskRun
from models.status import ConditionType, FailureReason, Phase, WaitReason

UNHEEDED: Final = timedelta(seconds=5)
"""How long a due key may lie before somebody should ask where the workers are; the sweep kicks again meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What was seen besides the execution. Faults are empty where the other side answered; None was not asked.

    `task` is the TaskRun of the run that has not ended; its reason tells what a pod waits for.
    `unstored` counts its audit events that DataStorage has not acknowledged, `outbox` those of all executions.
    """

    now: datetime
    redis_fault: str = ""
    hold: HoldView | None = None
    holder_ended: bool = False
    rests_until: datetime | None = None
    due: datetime | None = None
    pass_running: bool = False
    failed_passes: int = 0
    workers: int | None = None
    run: Run | None = None
    task: TaskRun | None = None
    run_namespace: str = ""
    unstored: int = 0
    outbox: int = 0
    datastorage_fault: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A sentence without its full stop. `next_step` may be empty: then there is nothing to do but wait."""

    sentence: str
    next_step: str


def explain(execution: Execution, world: World) -> Explanation:
    """Say why the execution is where it is, and what a person can do about it."""
    match execution.status.phase:
        case Phase.COMPLETED | Phase.FAILED | Phase.SKIPPED:
            told = _ended(execution, world)
        case Phase.PENDING | Phase.RUNNING:
            told = _unheeded(execution, world) or _under_way(execution, world)
        case _ as never:
            assert_never(never)
    told = _with_backlog(told, execution, world)
    return replace(told, sentence=told.sentence.rstrip("."))


def _ended(execution: Execution, world: World) -> Explanation:
    status, audit = execution.status, f"`wfe audit {_arguments(execution.key)}` tells the whole story"
    if status.phase is Phase.COMPLETED:
        after = f" after {status.duration}" if status.duration else ""
        return Explanation(f"it completed{after}: run {status.run_name} succeeded", audit)
    failure = status.failure
    if status.phase is Phase.SKIPPED or failure is None:
        return Explanation(f"it was {status.phase.value.lower()} ({status.reason or 'no reason recorded'})", audit)
    if failure.reason is FailureReason.CONFIGURATION_ERROR and not status.run_name:
        again = f"`kubectl delete wfe {_arguments(execution.key)}`, correct it and apply it again: a spec cannot change"
        return Explanation(f"its spec is invalid: {failure.message}", again)
    place = ", ".join(
        word
        for word in (
            f"task {failure.task_name}" if failure.task_name else "",
            f"step {failure.step_name}" if failure.step_name else "",
            f"exit code {failure.exit_code}" if failure.exit_code is not None else "",
        )
        if word
    )
    sentence = (
        f"it failed ({failure.reason.value}{f'; {place}' if place else ''}): {failure.summary or failure.message}"
    )
    if world.run is not None:
        return Explanation(sentence, _describe_run(execution, world))
    return Explanation(sentence, audit)


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
        waited = _span(world.now - world.due)
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
    unseen = not execution.guarded and world.due is None and not world.pass_running
    if unseen and world.now - execution.created_at > UNHEEDED:
        waited = _span(world.now - execution.created_at)
        return Explanation(
            f"no watcher has noticed it in the {waited} since it was created",
            "`wfe status` shows whether a watcher leads",
        )
    return None


def _under_way(execution: Execution, world: World) -> Explanation:
    status = execution.status
    if execution.deleted_at is not None:
        kept = ", ".join(execution.finalizers) or "no finalizer"
        return Explanation(f"it is being deleted; what keeps it: {kept}", "wait: its run is removed first")
    if execution.attempt_failed and status.next_allowed is not None:
        return _backing_off(execution, status.next_allowed, world)
    if status.phase is Phase.RUNNING:
        return _running(execution, world)
    created, locked = status.condition(ConditionType.CREATED), status.condition(ConditionType.LOCKED)
    if status.reason == WaitReason.ENGINE_UNAVAILABLE and created is not None:
        return Explanation(f"nothing can carry it out: {created.message}", "delete it, or install what it needs")
    match world.hold:
        case Busy() as busy:
            return _in_line(execution, busy, world)
        case Mine() | Free() | GateClosed() | None if locked is not None:
            return Explanation(f"it waits ({status.reason}): {locked.message}", "wait; it starts by itself")
        case Mine():
            return Explanation("its target is its own and its run is being created", "")
        case Free() | GateClosed() | None:
            return Explanation("it is new; a worker takes it within a second", "")
        case _ as never:
            assert_never(never)


def _backing_off(execution: Execution, due: datetime, world: World) -> Explanation:
    status = execution.status
    created = status.condition(ConditionType.CREATED)
    refused = created is not None and created.status is False
    condition = created if refused else status.condition(ConditionType.RUNNING)
    cause = condition.message if condition is not None else "no cause recorded"
    # The recorded message begins with what this sentence says already.
    cause = cause.partition(f"next not before {format_instant(due)}: ")[2] or cause
    what = "the API server refused its run" if refused else "its run failed before any task ran"
    if world.now < due:
        when = f"the next attempt is at {format_instant(due)} (in {_span(due - world.now)})"
    else:
        when = "the next attempt is due now"
    kind = f"{condition.reason}, " if condition is not None else ""
    return Explanation(
        f"attempt {status.attempt}: {what} ({kind}{cause}); {when}",
        _cure(condition.reason if condition is not None else ""),
    )


def _cure(reason: str) -> str:
    match reason:
        case "QuotaExceeded":
            return "make room in the quota of the namespace of the runs; it is retried by itself"
        case "RBACDenied":
            return "give the executor the right (deploy/rbac.yaml); it is retried by itself"
        case _:
            return "remove the cause; it is retried by itself, no new execution is needed"


def _running(execution: Execution, world: World) -> Explanation:
    status = execution.status
    since = f" for {_span(world.now - status.started_at)}" if status.started_at else ""
    if world.run is None:
        return Explanation(
            f"its run {status.run_name} is gone; it fails as deleted externally as soon as a worker looks",
            f"`wfe get {_arguments(execution.key)}`",
        )
    said = _words(world.run.reason, world.run.message) or "nothing yet"
    if world.task is not None:
        said += f"; of its task {world.task.pipeline_task} {_words(world.task.reason, world.task.message)}"
    return Explanation(
        f"it has been running{since}; of run {world.run.name} Tekton says {said}", _describe_run(execution, world)
    )


def _in_line(execution: Execution, busy: Busy, world: World) -> Explanation:
    target, position = execution.spec.target, f"it is number {busy.position} in line for"
    if busy.position == 0:
        position = "it is about to join the line for"
    look = f"`wfe why {_arguments(busy.holder)}`, `wfe queue` shows the whole line"
    if not world.holder_ended:
        held = f"held by {busy.holder} since {format_instant(busy.since)} ({_span(world.now - busy.since)})"
        return Explanation(f"{position} {target}, {held}", look)
    if world.rests_until is None or world.rests_until <= world.now:
        return Explanation(f"{position} {target}, which {busy.holder} is about to release", look)
    until = f"until {format_instant(world.rests_until)} (in {_span(world.rests_until - world.now)})"
    return Explanation(f"{position} {target}, which rests {until} after {busy.holder}", "wait; it starts by itself")


def _with_backlog(told: Explanation, execution: Execution, world: World) -> Explanation:
    """Add that audit events are not stored yet, where that is more than the usual second."""
    oldest = min((fact.at for fact in execution.status.pending_facts), default=world.now)
    if not world.unstored or world.now - oldest < UNHEEDED:
        return told
    why = world.datastorage_fault or f"{world.outbox} are queued in all"
    sentence = f"{told.sentence}; {world.unstored} of its audit events wait for DataStorage ({why})"
    return Explanation(sentence, told.next_step)


def _words(reason: str, message: str) -> str:
    return ": ".join(word for word in (reason, message) if word)


def _describe_run(execution: Execution, world: World) -> str:
    return f"`kubectl describe pipelinerun {execution.status.run_name} -n {world.run_namespace}`"


def _arguments(key: Key) -> str:
    return f"{key.name} -n {key.namespace}"


def _span(span: timedelta) -> str:
    return short_age(max(span.total_seconds(), 0))
