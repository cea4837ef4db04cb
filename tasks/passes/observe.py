"""Observe: read what the next decision about one execution needs, and no more."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from models.answers import Answers
from models.audit import event_id
from models.execution import Execution
from models.hold import Busy, HoldView, Mine
from models.names import ASK_CANCEL, ASK_CLEAR, ASK_UNLOCK
from models.observed import Observed
from models.policy import Policy
from models.rules.cancelling import cancel_asked
from models.rules.cooldown import keeps_target, rest_until
from models.run import Ownership, Run
from models.status import Phase
from models.target import run_name
from models.task_run import TaskRun
from tasks.passes.ahead import Ahead
from tasks.ports import Ports

LOOKS_BEHIND = 3


def observe(
    execution: Execution, now: datetime, policy: Policy, ports: Ports, ahead: Callable[[], Ahead] = Ahead
) -> Observed:
    """Read hold, run, TaskRuns, what is left of earlier runs, and acknowledgements for one execution.

    `ahead` waits for what was read while the execution was.
    """
    before = ahead()
    hold, holder = _look_at_hold(execution, before.hold_of(execution), ports)
    run = None
    if _needs_run(execution, hold, now, policy):
        run = before.run_of(execution) or ports.runs.get(run_name(execution.spec.target), execution.spec.engine)
    answers = _answers(execution, ports)
    owner = owner_of(run, execution, ports) if run is not None else None
    return Observed(
        hold=hold,
        run=run,
        run_owner_lives=owner is not None,
        run_owner_elsewhere=elsewhere(owner, execution),
        task_runs=_telling_tasks(execution, run, ports),
        holder=holder,
        remains=remains(execution, hold, run, now, policy, ports),
        acknowledged=answers.acknowledged,
        refused_facts=answers.refused,
        engine_available=not _may_start(execution) or ports.surroundings.engine_available(execution.spec.engine),
        requester_verified=_asked(execution) and ports.surroundings.requester_verified(),
    )


def _answers(execution: Execution, ports: Ports) -> Answers:
    ids = [event_id(execution.uid, fact.type, fact.attempt) for fact in execution.status.pending_facts]
    return ports.facts.answers(execution.uid, ids) if ids else Answers()


def _look_at_hold(execution: Execution, before: HoldView | None, ports: Ports) -> tuple[HoldView, Execution | None]:
    hold = before or ports.holds.look(execution.spec.target, execution.uid)
    if not isinstance(hold, Busy):
        return hold, None
    return look_behind(execution, hold, ports)


def look_behind(execution: Execution, busy: Busy, ports: Ports) -> tuple[HoldView, Execution | None]:
    """Ask the API server about the holder: one that is gone holds nothing.

    The holder is None when the target changed hands that often while we looked.
    """
    hold: HoldView = busy
    for _ in range(LOOKS_BEHIND):
        if not isinstance(hold, Busy):
            break
        holder = ports.executions.get(hold.holder)
        if holder is not None and holder.uid == hold.holder_uid:
            return hold, holder
        ports.kicker.wake(ports.holds.vanish(hold.holder, hold.holder_uid))
        hold = ports.holds.look(execution.spec.target, execution.uid)
    return hold, None


def _needs_run(execution: Execution, hold: HoldView, now: datetime, policy: Policy) -> bool:
    """Say whether the run's name has to be looked up.

    A first attempt does not: its creation is answered AlreadyExists when something stands there. But where an earlier
    pass may have created the run and died, what that run has begun must not be taken for what another one left. Whether
    the other kind has a run of that name is looked up right before the creation.
    """
    status = execution.status
    if execution.deleted_at is not None or status.phase is Phase.RUNNING:
        return True
    if status.phase is Phase.PENDING:
        return cancel_asked(execution) or (isinstance(hold, Mine) and (status.attempt > 0 or hold.suspect))
    until = rest_until(status, policy)
    return status.completed_at is None or until is None or now >= until


def _may_start(execution: Execution) -> bool:
    """Say whether the next thing for an execution may be a creation."""
    phase = execution.status.phase
    return phase is Phase.PENDING or (phase is Phase.RUNNING and execution.attempt_failed)


def _asked(execution: Execution) -> bool:
    return any(ask in execution.annotations for ask in (ASK_CANCEL, ASK_CLEAR, ASK_UNLOCK))


def owner_of(run: Run, execution: Execution, ports: Ports) -> Execution | None:
    """Return the execution that a run of another names, None when it does not exist any more as the same object."""
    key = run.execution_key
    if run.ownership(execution) is not Ownership.ANOTHERS or key is None:
        return None
    owner = ports.executions.get(key)
    return owner if owner is not None and owner.uid == run.execution_uid else None


def elsewhere(owner: Execution | None, execution: Execution) -> bool:
    """Say whether whom a run of our target names has another target."""
    return owner is not None and owner.spec.target != execution.spec.target


def _telling_tasks(execution: Execution, run: Run | None, ports: Ports) -> tuple[TaskRun, ...]:
    """Read the tasks of a run where they decide: it failed, is being cancelled, or is a Job that may wait for ever."""
    if run is None or execution.status.phase is not Phase.RUNNING:
        return ()
    telling = run.succeeded is False or run.waits_for_pod or execution.status.cancellation is not None
    return ports.runs.task_runs(run) if telling else ()


def remains(execution: Execution, hold: HoldView, run: Run | None, now: datetime, policy: Policy, ports: Ports) -> int:
    """Count what earlier runs of this target left behind, where it decides: before a creation and before a release.

    Before a first creation only where the target is suspect: whoever released it has counted already.
    """
    if run is not None or not _remains_matter(execution, hold, now, policy):
        return 0
    return ports.runs.remains(run_name(execution.spec.target))


def _remains_matter(execution: Execution, hold: HoldView, now: datetime, policy: Policy) -> bool:
    status = execution.status
    if execution.deleted_at is not None:
        return isinstance(hold, Mine)
    if status.phase.terminal:
        return isinstance(hold, Mine) and not keeps_target(status, now, policy)
    if status.phase is Phase.RUNNING:
        return execution.attempt_failed
    return isinstance(hold, Mine) and hold.suspect
