"""Running: follow the run to its end; try again when it failed before any task ran."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import assert_never

from models.actions import Action, AddFinalizer, CancelRun, TakeTarget, WakeAt
from models.duration import format_span
from models.execution import Execution
from models.failure import explain_failure
from models.hold import Busy, Free, GateClosed, Mine
from models.job import NEVER_STARTS
from models.observed import Observed
from models.policy import Policy
from models.rules.begin import DELETION_WAIT, GATE_WAIT, create_or_adopt
from models.rules.cancelling import cancel_asked, cancel_between_attempts, cancel_running
from models.rules.ending import complete, fail, plain_details
from models.rules.starting import POD_LOOK, creation_refused, look_for_pod, retry_later
from models.rules.writing import facts, run_status, touched, write
from models.run import Run
from models.status import FailureReason
from models.validation import too_large

STOPPED_BY_HAND = ("Cancelled", "StoppedRunFinally", "CancelledRunFinally")


def follow(
    execution: Execution, observed: Observed, now: datetime, policy: Policy, jitter: float
) -> tuple[Action, ...]:
    """Decide for an execution whose run was created."""
    if not execution.guarded and not too_large(execution.spec):
        return (AddFinalizer(),)
    if isinstance(observed.hold, Free):
        return (TakeTarget(),)
    cancelled = cancel_asked(execution)
    if execution.attempt_failed and cancelled:
        return cancel_between_attempts(execution, observed, now, policy)
    if execution.attempt_failed:
        return _try_again(execution, observed, now, policy, jitter)
    if execution.status.cancellation is not None:
        return cancel_running(execution, observed, now, policy)
    run = observed.our_run(execution)
    if run is None:
        message = f"{execution.spec.engine.kind} {execution.status.run_name} was deleted externally"
        details = plain_details(FailureReason.UNKNOWN, message, now)
        if execution.status.started_at is not None:
            details = replace(details, run_time=format_span(execution.status.started_at, now))
        return fail(execution, observed, details, now, policy)
    match run.succeeded:
        case None if cancelled:
            return cancel_running(execution, observed, now, policy)
        case None:
            return _while_going(execution, observed, run, now)
        case True:
            return complete(execution, observed, run, now, policy)
        case False:
            return _run_failed(execution, observed, run, now, policy, jitter)
        case _ as never:
            assert_never(never)


def _while_going(execution: Execution, observed: Observed, run: Run, now: datetime) -> tuple[Action, ...]:
    """Wait for the run's end, and stop a Job whose pod can never start: it would wait until its deadline."""
    stuck = next((task for task in observed.task_runs if task.reason in NEVER_STARTS), None)
    # The Job controller tries several times within the first seconds, which may be all that is needed.
    lasting = run.waits_for_pod and now - run.created_at >= POD_LOOK
    if lasting and stuck is not None and not any(task.started for task in observed.task_runs):
        return (CancelRun(run.uid, f"{stuck.reason}: {stuck.message}"),)
    return (*_progress(execution, observed, run, now), *look_for_pod(run, now))


def _progress(execution: Execution, observed: Observed, run: Run, now: datetime) -> tuple[Action, ...]:
    """Write how far a run of several tasks has come, once for each that ended."""
    known = execution.status.run_status
    done = known.completed_tasks if known is not None else 0
    if run.total_tasks < 2 or run.completed_tasks <= done:
        return facts(execution.status)
    return write(execution, observed, replace(touched(execution), run_status=run_status(run)), now)


def _run_failed(
    execution: Execution, observed: Observed, run: Run, now: datetime, policy: Policy, jitter: float
) -> tuple[Action, ...]:
    details = explain_failure(run, observed.task_runs, now)
    if details.started or run.reason in STOPPED_BY_HAND:
        return fail(execution, observed, details, now, policy)
    if cancel_asked(execution):
        return cancel_running(execution, observed, now, policy)
    return retry_later(execution, observed, details, now, policy, jitter)


def _try_again(
    execution: Execution, observed: Observed, now: datetime, policy: Policy, jitter: float
) -> tuple[Action, ...]:
    due = execution.status.next_allowed
    if due is not None and now < due:
        return (*facts(execution.status), WakeAt(due))
    match observed.hold:
        case Mine() if observed.refusal is not None:
            return creation_refused(execution, observed, observed.refusal, now, policy, jitter)
        case Mine() as mine:
            return create_or_adopt(execution, observed, mine, now, policy)
        case GateClosed():
            return (WakeAt(now + GATE_WAIT),)
        case Free():
            return (TakeTarget(),)
        case Busy():
            return (WakeAt(now + DELETION_WAIT),)
        case _ as never:
            assert_never(never)
