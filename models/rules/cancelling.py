"""Cancel: somebody asked that an execution end. Nothing is created for it any more, and its run is brought to its end.

What ended before the ask was recorded ended as it would have without it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from models.actions import Action, CancelRun, DeleteRun, EmitEvent, EventReason, TakeTarget, WakeAt
from models.duration import format_span
from models.execution import Engine, Execution
from models.failure import had_started
from models.hold import Free, Mine
from models.job import NEVER_STARTS
from models.names import ASK_CANCEL
from models.observed import Observed
from models.policy import Policy
from models.rules.asking import asked, request
from models.rules.ending import complete, fail
from models.rules.starting import start
from models.rules.writing import keep, touched, write
from models.run import Run
from models.status import FactType, FailureDetails, FailureReason, Request

HOLD_WAIT = timedelta(seconds=2)
"""Until when a hold that another has, or that is not restored yet, is looked at again."""

BEGUN, UNBEGUN = "Cancelled: after its task had started", "Cancelled: before its task started"
"""Noted on a Job as it is stopped, because its pods, which could tell, go with that."""


def cancel_asked(execution: Execution) -> bool:
    """Say whether an execution is to end: the ask stands, or was recorded and cannot be taken back."""
    return execution.status.cancellation is not None or bool(asked(execution, ASK_CANCEL))


def cancel_before_start(execution: Execution, observed: Observed, now: datetime, policy: Policy) -> tuple[Action, ...]:
    """End an execution in line, or one that has its target and no run; a run that a pass left behind is taken first."""
    run = observed.our_run(execution)
    if run is not None:
        return _take_first(execution, observed, run, now)
    return _end(execution, observed, None, now, policy)


def cancel_between_attempts(
    execution: Execution, observed: Observed, now: datetime, policy: Policy
) -> tuple[Action, ...]:
    """End an execution that waits for its next attempt; the run that was refused rests with it."""
    run = observed.our_run(execution)
    if run is not None and run.attempt >= execution.next_attempt:
        return _take_first(execution, observed, run, now)
    return _end(execution, observed, None, now, policy)


def cancel_running(execution: Execution, observed: Observed, now: datetime, policy: Policy) -> tuple[Action, ...]:
    """Record the ask, have the run end gently, delete it when it does not, then end."""
    run, asked_for = observed.our_run(execution), execution.status.cancellation
    if run is not None and run.succeeded is True:
        return complete(execution, observed, run, now, policy)
    if run is None or run.succeeded is False:
        return _end(execution, observed, run, now, policy)
    if asked_for is None:
        return _record(execution, observed, now)
    over = asked_for.at + policy.cancel_timeout
    if now >= over:
        return _end(execution, observed, run, now, policy) if run.deleting else (DeleteRun(run.uid),)
    if not run.cancelling and not run.deleting:
        begun = any(task.started for task in observed.task_runs)
        return (CancelRun(run.uid, BEGUN if begun else UNBEGUN),)
    return keep(execution, observed, now, WakeAt(over))


def _take_first(execution: Execution, observed: Observed, run: Run, now: datetime) -> tuple[Action, ...]:
    """Adopt a run that the status does not tell of, so that the next pass cancels it like any other."""
    match observed.hold:
        case Mine() as mine:
            return (*start(execution, observed, run, mine, now), WakeAt(now))
        case Free():
            return (TakeTarget(),)
        case _:
            return keep(execution, observed, now, WakeAt(now + HOLD_WAIT))


def _record(execution: Execution, observed: Observed, now: datetime) -> tuple[Action, ...]:
    recorded = _recorded(execution, observed, now)
    return (*write(execution, observed, recorded.status, now), _told(recorded), WakeAt(now))


def _end(
    execution: Execution, observed: Observed, run: Run | None, now: datetime, policy: Policy
) -> tuple[Action, ...]:
    """→ Failed; an ask that was not recorded yet is, in the same write."""
    known = execution.status.cancellation is not None
    recorded = execution if known else _recorded(execution, observed, now)
    details = _details(recorded, observed, run, now)
    return (*fail(recorded, observed, details, now, policy), *(() if known else (_told(recorded),)))


def _recorded(execution: Execution, observed: Observed, now: datetime) -> Execution:
    new = replace(touched(execution), cancellation=request(execution, observed, ASK_CANCEL, now))
    return replace(execution, status=new.with_fact(FactType.CANCELLED, new.attempt, now))


def _told(recorded: Execution) -> EmitEvent:
    return EmitEvent(EventReason.CANCELLED, _message(_request_of(recorded)), recorded.status.attempt)


def _details(recorded: Execution, observed: Observed, run: Run | None, now: datetime) -> FailureDetails:
    message = _message(_request_of(recorded))
    return FailureDetails(
        reason=FailureReason.UNKNOWN,
        message=message,
        failed_at=now,
        summary=f"The execution was {message}"[:1024],
        started=_started(recorded, observed, run),
        run_time=format_span(run.started_at, now) if run is not None and run.started_at else "",
    )


def _started(execution: Execution, observed: Observed, run: Run | None) -> bool:
    """Say whether a task had begun to act; a run that is gone without its TaskRuns cannot tell any more: yes.

    But for the one that was deleted just now because it did not end: what it said before counts.
    """
    if not execution.status.run_name or execution.attempt_failed:
        return False
    if run is None and observed.deleted_run is not None and _untouched(observed.deleted_run, observed):
        return False
    if run is not None and run.engine is Engine.JOB and run.succeeded is False and not observed.task_runs:
        if run.reason in NEVER_STARTS or (run.reason == "DeadlineExceeded" and run.started_at is None):
            return False
        return f"{run.reason}: {run.message}" != UNBEGUN
    if run is None:
        return not observed.task_runs or any(task.started for task in observed.task_runs)
    return not _untouched(run, observed) and had_started(run, observed.task_runs)


def _untouched(run: Run, observed: Observed) -> bool:
    """Say whether Tekton never resolved the pipeline of a run, so that it made no TaskRun."""
    return run.engine is Engine.TEKTON and run.total_tasks == 0 and not observed.task_runs


def _message(by: Request) -> str:
    return f"cancelled by {by.by}: {by.reason}"


def _request_of(recorded: Execution) -> Request:
    assert recorded.status.cancellation is not None
    return recorded.status.cancellation
