"""Why an execution that has not ended is where it is. Pure."""

from __future__ import annotations

from typing import assert_never

from cli.asks import arguments
from cli.backing_off import backing_off, stuck
from cli.explanation import Explanation, World, describe_run, span_words, words
from models.execution import Engine, Execution
from models.hold import Busy, Free, GateClosed, Mine
from models.instants import format_instant
from models.names import ASK_CANCEL, REQUESTED_BY
from models.status import ConditionType, Phase, WaitReason


def under_way(execution: Execution, world: World) -> Explanation:
    """Explain what it does or waits for."""
    status = execution.status
    if execution.deleted_at is not None:
        return _going(execution, world)
    if status.cancellation is not None or execution.annotations.get(ASK_CANCEL, "").strip():
        return _being_cancelled(execution, world)
    if execution.attempt_failed and status.next_allowed is not None and world.now < status.next_allowed:
        return backing_off(execution, status.next_allowed, world)
    if status.reason == WaitReason.FROZEN:
        return _frozen(world)
    if execution.attempt_failed and status.next_allowed is not None:
        return backing_off(execution, status.next_allowed, world)
    if status.phase is Phase.RUNNING:
        return _running(execution, world)
    return _with_freeze(_pending(execution, world), world)


def _pending(execution: Execution, world: World) -> Explanation:
    status = execution.status
    created, locked = status.condition(ConditionType.CREATED), status.condition(ConditionType.LOCKED)
    if status.reason == WaitReason.ENGINE_UNAVAILABLE and created is not None:
        engine = execution.spec.engine.value
        cure = f"install what runs engine {engine}; it is noticed and starts by itself (or delete the execution)"
        return Explanation(f"nothing can carry it out: {created.message}", cure)
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


def _going(execution: Execution, world: World) -> Explanation:
    """Explain a deletion: whose finalizers keep the object, and what ours waits for."""
    foreign = [name for name in execution.finalizers if "kubernaut.ai/" not in name]
    if world.run is not None:
        waits = f"its run {world.run.name} is being removed"
        step = describe_run(execution, world)
    elif world.remains:
        waits = f"{world.remains} TaskRuns or pods of its run are being removed"
        step = f"`kubectl get taskruns,pods -n {world.run_namespace}`"
    elif world.run_fault:
        waits = f"what is left of its run {execution.status.run_name} is unknown: {world.run_fault}"
        step = describe_run(execution, world)
    elif world.unstored:
        waits = f"{world.unstored} of its audit events are being stored, for at most 30 s after the deletion"
        step = "wait; it goes by itself"
    elif foreign and not execution.guarded:
        waits, step = "we are done with it", f"ask whoever owns the finalizer {foreign[0]}"
    else:
        waits, step = "its target is being freed", "wait: its run is removed first"
    kept = ", ".join(execution.finalizers) or "no finalizer"
    return Explanation(f"it is being deleted and {waits}; what keeps it: {kept}", step)


def _being_cancelled(execution: Execution, world: World) -> Explanation:
    asked = execution.status.cancellation
    if asked is None:
        by = execution.annotations.get(REQUESTED_BY) or "somebody"
        reason = execution.annotations[ASK_CANCEL].strip()
        return Explanation(f"{by} asked to cancel it ({reason}), which a worker takes up within a second", "")
    until = asked.at + world.cancel_timeout
    sentence = f"it is being cancelled, as {asked.by} asked at {format_instant(asked.at)}: {asked.reason}"
    if execution.status.phase is Phase.RUNNING and world.now < until:
        return Explanation(sentence, f"wait; a run that has not ended by {format_instant(until)} is deleted")
    return Explanation(sentence, "wait; it fails as soon as its run is gone")


def _frozen(world: World) -> Explanation:
    if world.frozen is None:
        return Explanation("a freeze kept it from starting, and has ended", "wait; it starts within half a minute")
    return Explanation(f"everything is frozen {_freeze_words(world)}", "`wfe unfreeze` lets it start")


def _with_freeze(told: Explanation, world: World) -> Explanation:
    """Add a freeze to another cause: it will count next."""
    if world.frozen is None:
        return told
    return Explanation(f"{told.sentence.rstrip('.')}; and everything is frozen {_freeze_words(world)}", told.next_step)


def _freeze_words(world: World) -> str:
    frozen = world.frozen
    return "" if frozen is None else f"by {frozen.by} since {format_instant(frozen.since)}: {frozen.reason}"


def _running(execution: Execution, world: World) -> Explanation:
    status = execution.status
    since = f" for {span_words(world.now - status.started_at)}" if status.started_at else ""
    if world.run is None and world.run_fault:
        told = f"it has been running{since}; what its run {status.run_name} says is unknown: {world.run_fault}"
        return Explanation(told, describe_run(execution, world))
    if world.run is None:
        return Explanation(
            f"its run {status.run_name} is gone; it fails as deleted externally as soon as a worker looks",
            f"`wfe get {arguments(execution.key)}`",
        )
    said = words(world.run.reason, world.run.message) or "nothing yet"
    waits = ""
    if world.task is not None:
        of_task = words(world.task.reason, world.task.message)
        said += f"; of its task {world.task.pipeline_task} {of_task}"
        waits = stuck(of_task)
    begin = f"it has been running{since}" if not waits else f"it has been running{since}, but {waits}"
    teller = "Tekton" if execution.spec.engine is Engine.TEKTON else "Kubernetes"
    who = f"of run {world.run.name} {teller} says"
    return Explanation(f"{begin}; {who} {said}", describe_run(execution, world))


def _in_line(execution: Execution, busy: Busy, world: World) -> Explanation:
    target, position = execution.spec.target, f"it is number {busy.position} in line for"
    if busy.position == 0:
        position = "it is about to join the line for"
    look = f"`wfe why {arguments(busy.holder)}`, `wfe queue` shows the whole line"
    if world.holder_blocks:
        clear = f'look at the target, then `wfe clear {arguments(busy.holder)} --reason "…"`'
        return Explanation(f"{position} {target}, which is blocked: {busy.holder} failed half-way", clear)
    if not world.holder_ended:
        held = f"held by {busy.holder} since {format_instant(busy.since)} ({span_words(world.now - busy.since)})"
        return Explanation(f"{position} {target}, {held}", look)
    if world.rests_until is None or world.rests_until <= world.now:
        return Explanation(f"{position} {target}, which {busy.holder} is about to release", look)
    until = f"until {format_instant(world.rests_until)} (in {span_words(world.rests_until - world.now)})"
    return Explanation(f"{position} {target}, which rests {until} after {busy.holder}", "wait; it starts by itself")
