"""What one pass saw besides the execution itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from models.execution import Execution
from models.failure import Refusal
from models.freeze import Freeze
from models.hold import HoldView
from models.run import Ownership, Run
from models.task_run import TaskRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The world around one execution, as far as its next decision needs it.

    `run` is the run that has the target's name, whoever owns it; None when there is none, or when a first attempt has
    not looked yet (the API server's refusal of a second run of that name is the last word anyhow).
    `run_owner_elsewhere` says that the living execution which a run names has another target: its words were copied.
    `deleted_run` is the run that this pass deleted, as it was before.
    `refusal` is the answer to a creation within this pass. `holder` is the execution that holds the target while
    we do not, as the API server knows it now. `acknowledged` are ids of audit events that DataStorage confirmed,
    `refused_facts` ids of those it will never take, with what it said. `frozen` is the freeze in force.
    `engine_available` says whether the API server knows the kind of our run, `requester_verified` whether admission
    makes sure that the requested-by annotation names its author. `remains` counts what runs of this name that are gone
    left behind: TaskRuns, and pods that have not ended. A new run of the same name would take such a TaskRun for its
    own.
    """

    hold: HoldView
    run: Run | None = None
    run_owner_lives: bool = False
    run_owner_elsewhere: bool = False
    deleted_run: Run | None = None
    task_runs: tuple[TaskRun, ...] = ()
    refusal: Refusal | None = None
    holder: Execution | None = None
    remains: int = 0
    acknowledged: frozenset[str] = frozenset()
    refused_facts: Mapping[str, str] = field(default_factory=dict)
    frozen: Freeze | None = None
    engine_available: bool = True
    requester_verified: bool = False

    def our_run(self, execution: Execution) -> Run | None:
        """Return the run that has the target's name if it is this execution's."""
        run = self.run
        return run if run is not None and run.ownership(execution) is Ownership.OURS else None
