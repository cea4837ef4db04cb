"""What Redis must hold, derived from the API server alone: holders, lines, and the keys that want a pass."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from models.execution import Execution
from models.hold import Owner
from models.keys import Key
from models.policy import Policy
from models.rules.cooldown import blocks, keeps_target
from models.run import Run
from models.status import Phase
from models.target import run_name
from models.validation import find_fault


@dataclass(frozen=True, slots=True)
class RestoredHold:
    """A target that somebody holds by right of the API server."""

    target: str
    owner: Owner
    fence: int
    since: datetime


@dataclass(frozen=True, slots=True)
class RestoredPlace:
    """A place in a target's line."""

    target: str
    owner: Owner


@dataclass(frozen=True, slots=True)
class Restored:
    """Everything a resync writes or wakes."""

    holds: tuple[RestoredHold, ...]
    places: tuple[RestoredPlace, ...]
    unfinished: tuple[Key, ...]
    orphans: tuple[Run, ...] = ()


def restore(executions: Iterable[Execution], runs: Iterable[Run], now: datetime, policy: Policy) -> Restored:
    """Derive holders, lines and unfinished keys from consistent lists.

    A run counts before a status: it may have been created by a worker that died before it wrote. Of two claims on one
    target the one with a run wins, then the higher fence.
    """
    known, found = list(executions), list(runs)
    names = {e.uid: run_name(e.spec.target) for e in known}
    running = {run.execution_uid: run for run in found if names.get(run.execution_uid) == run.name}
    claims = [claim for execution in known if (claim := _claim(execution, running.get(execution.uid), now, policy))]
    claims.sort(key=lambda claim: (claim.owner.uid in running, claim.fence))
    holds = {claim.target: claim for claim in claims}
    holders = {claim.owner.uid for claim in holds.values()}
    places = [RestoredPlace(e.spec.target, owner(e)) for e in known if e.uid not in holders and _waits(e, policy)]
    unfinished = [e.key for e in known if _unfinished(e, running.get(e.uid), now, policy)]
    orphans = [run for run in found if run.execution_uid not in names and _orphan_rested(run, now, policy)]
    return Restored(tuple(holds.values()), tuple(places), tuple(unfinished), tuple(orphans))


def owner(execution: Execution) -> Owner:
    """Return an execution as the owner of a hold or of a place in a line."""
    return Owner(execution.uid, execution.key, execution.created_at)


def _orphan_rested(run: Run, now: datetime, policy: Policy) -> bool:
    """Say whether a run of ours, whose execution is gone, has ended and rested; one without a uid is not ours."""
    if not run.execution_uid or run.succeeded is None or run.deleting:
        return False
    return now >= (run.ended_at or run.created_at) + policy.cooldown


def _claim(execution: Execution, run: Run | None, now: datetime, policy: Policy) -> RestoredHold | None:
    status = execution.status
    fence = max(status.fence or 0, (run.fence or 0) if run is not None else 0)
    if run is None and (status.fence is None or not keeps_target(status, now, policy)):
        return None
    since = status.started_at or (run.created_at if run is not None else execution.created_at)
    return RestoredHold(execution.spec.target, owner(execution), fence, since)


def _waits(execution: Execution, policy: Policy) -> bool:
    """Say whether an execution belongs into its target's line; a new one too, so that a line keeps its order.

    An invalid one would stand there for nothing: it ends without ever taking its target. One that blocks a target
    which another holds gets its turn to block it.
    """
    if blocks(execution.status, policy) and execution.deleted_at is None:
        return True
    waiting = execution.status.phase is Phase.PENDING and execution.deleted_at is None
    return waiting and find_fault(execution.spec) is None


def _unfinished(execution: Execution, run: Run | None, now: datetime, policy: Policy) -> bool:
    status = execution.status
    if not status.phase.terminal or execution.deleted_at is not None or run is not None:
        return True
    if status.attempt == 0:
        return False
    return status.completed_at is None or bool(status.pending_facts) or keeps_target(status, now, policy)
