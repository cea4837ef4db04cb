"""Sight: what a pass knows by now, and how it looks again at what its next action depends on.

What is seen goes into `observed`; nothing is changed here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from models.errors import Conflict
from models.execution import Engine, Execution
from models.hold import Busy, HoldView, Mine, Owner
from models.observed import Observed
from models.policy import Policy
from models.run import Run
from models.target import run_name
from tasks.passes.ahead import OtherKind
from tasks.passes.observe import elsewhere, look_behind, owner_of, remains
from tasks.ports import HOLD_TRUST, Clock, Ports


@dataclass(slots=True)
class Sight:
    """The eyes of one pass."""

    execution: Execution
    observed: Observed
    policy: Policy
    ports: Ports
    clock: Clock
    hold_confirmed_at: datetime
    confirm_claim: Callable[[], None]
    other_kind: OtherKind | None = None

    @property
    def _target(self) -> str:
        return self.execution.spec.target

    @property
    def _owner(self) -> Owner:
        return Owner(self.execution.uid, self.execution.key, self.execution.created_at)

    def _see_hold(self, hold: HoldView) -> None:
        self.hold_confirmed_at = self.clock.now()
        holder = None
        if isinstance(hold, Busy):
            hold, holder = look_behind(self.execution, hold, self.ports)
        left_behind = self.observed.remains
        if isinstance(hold, Mine) and not isinstance(self.observed.hold, Mine):
            left_behind = remains(self.execution, hold, self.observed.run, self.clock.now(), self.policy, self.ports)
        self.observed = replace(self.observed, hold=hold, holder=holder, remains=left_behind)

    def _frozen(self) -> bool:
        """Ask for the freeze right before a creation, whatever was known when the pass began."""
        self.observed = replace(self.observed, frozen=self.ports.surroundings.freeze())
        return self.observed.frozen is not None

    def _see_other_kind(self) -> bool:
        """Look for a run of the other kind; what was read as the pass began counts where the target is beyond doubt."""
        hold, looked = self.observed.hold, self.other_kind
        self.other_kind = None
        fresh = looked is not None and self.clock.now() - looked.asked_at <= HOLD_TRUST
        if looked is not None and fresh and isinstance(hold, Mine) and not hold.suspect:
            return self._see(looked.answer())
        return self._see_existing_run(self.execution.spec.engine.other)

    def _see_existing_run(self, engine: Engine) -> bool:
        return self._see(self.ports.runs.get(run_name(self._target), engine))

    def _see(self, existing: Run | None) -> bool:
        if existing is None:
            return False
        owner = owner_of(existing, self.execution, self.ports)
        away = elsewhere(owner, self.execution)
        self.observed = replace(
            self.observed, run=existing, run_owner_lives=owner is not None, run_owner_elsewhere=away
        )
        return True

    def _confirm_hold(self, fence: int) -> None:
        """Ask again for a hold that was confirmed too long ago, right before the creation it protects."""
        self.confirm_claim()
        if self.clock.now() - self.hold_confirmed_at <= HOLD_TRUST:
            return
        hold = self.ports.holds.look(self._target, self.execution.uid)
        if not (isinstance(hold, Mine) and hold.fence == fence):
            raise Conflict(f"the hold on target {self._target} was lost before its run was created")

    def _run_seen(self, uid: str) -> Run:
        run = self.observed.run
        if run is None or run.uid != uid:
            raise Conflict(f"the run {uid} of target {self._target} is not the one that was seen")
        return run

    def _run_ended(self, before: Execution) -> datetime | None:
        """Return when the run ended whose end was just written; one refused before an earlier wait is not that."""
        run = self.observed.our_run(before)
        return run.ended_at if run is not None and not before.attempt_failed else None
