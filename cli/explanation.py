"""What an explanation is made of: what was seen of the world, one sentence, the next step. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cli.table import short_age
from models.execution import Execution
from models.freeze import Freeze
from models.hold import HoldView
from models.run import Run
from models.task_run import TaskRun


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What was seen besides the execution. Faults are empty where the other side answered; None was not asked.

    `run_fault` is why its run, or what is left of it, was not to be seen.
    `task` is the TaskRun of the run that has not ended; its reason tells what a pod waits for.
    `frozen` is the freeze in force. `blocks` says that it keeps its target until somebody clears it, `holder_blocks`
    that who holds its target does. `remains` counts TaskRuns and living pods of its run that is gone.
    `refused` is what DataStorage said of its audit events that it will never take.
    `unstored` counts its audit events that DataStorage has not acknowledged, `outbox` those of all executions;
    `outbox_trouble` is what was said when they were sent last, empty when that went well.
    """

    now: datetime
    redis_fault: str = ""
    hold: HoldView | None = None
    holder_ended: bool = False
    holder_blocks: bool = False
    blocks: bool = False
    rests_until: datetime | None = None
    due: datetime | None = None
    pass_running: bool = False
    failed_passes: int = 0
    workers: int | None = None
    run: Run | None = None
    run_fault: str = ""
    task: TaskRun | None = None
    run_namespace: str = ""
    unstored: int = 0
    outbox: int = 0
    outbox_trouble: str = ""
    datastorage_fault: str = ""
    refused: tuple[str, ...] = ()
    frozen: Freeze | None = None
    remains: int = 0
    cancel_timeout: timedelta = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Explanation:
    """A sentence without its full stop. `next_step` may be empty: then there is nothing to do but wait."""

    sentence: str
    next_step: str


def words(reason: str, message: str) -> str:
    """Join what there is of a reason and its message."""
    return ": ".join(word for word in (reason, message) if word)


def describe_run(execution: Execution, world: World) -> str:
    """Return the command that shows the run."""
    kind = execution.spec.engine.kind.lower()
    return f"`kubectl describe {kind} {execution.status.run_name} -n {world.run_namespace}`"


def span_words(span: timedelta) -> str:
    """Return a span as kubectl prints ages."""
    return short_age(max(span.total_seconds(), 0))
