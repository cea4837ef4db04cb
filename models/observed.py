"""What one pass saw besides the execution itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from models.failure import Refusal
from models.hold import HoldView
from models.run import Run, TaskRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The world around one execution, as far as its next decision needs it.

    `run` is the run that has the target's name, whoever owns it; None when there is none, or when a first attempt has
    not looked yet (the API server's refusal of a second run of that name is the last word anyhow).
    `refusal` is the answer to a creation within this pass. `holder_rests_until` is the end of the holder's cooldown
    when the target is held by an execution that has ended. `acknowledged` are ids of audit events that DataStorage
    confirmed. `remains` counts what runs of this name that are gone left behind:
    TaskRuns, and pods that have not ended. A new run of the same name would take such a TaskRun for its own.
    """

    hold: HoldView
    run: Run | None = None
    run_owner_lives: bool = False
    task_runs: tuple[TaskRun, ...] = ()
    refusal: Refusal | None = None
    holder_rests_until: datetime | None = None
    remains: int = 0
    acknowledged: frozenset[str] = frozenset()
