"""Act: carry out the actions of one decision, in order.

What an action learns (`models.actions.LEARNING`) goes into `execution` and `observed`, and the pass decides again.
Every action may be repeated by a later pass; a lost race ends this one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from models.actions import (
    LEARNING,
    Action,
    AddFinalizer,
    BufferFacts,
    CancelRun,
    CreateRun,
    DeleteRun,
    EmitEvent,
    EventReason,
    LeaveLine,
    PatchStatus,
    ReleaseTarget,
    RemoveFinalizer,
    TakeTarget,
    WakeAt,
    WakeLine,
    YieldTarget,
)
from models.audit import event_id, pending_events
from models.errors import Conflict, Permanent, Transient
from models.execution import Execution
from models.failure import refusal
from models.hold import Mine, Owner
from models.manifest import run_manifest
from models.retell import retold
from models.status import Fact, Phase
from models.status_document import status_patch
from models.target import run_name
from tasks.adapters.cluster_errors import AlreadyExists, ResourceAbsent
from tasks.passes.observe import remains
from tasks.passes.sight import Sight
from tasks.passes.telling import events_first, tell, trouble_event

log = logging.getLogger(__name__)

LINE_LIMIT = 1000
"""How many of a line are told of a block at once; who stands behind them learns of it by the resync."""

CREATION_TRIES = 2
"""A kept connection that the server has just closed is no trouble worth a backoff."""


@dataclass(slots=True)
class Act(Sight):
    """The hands of one pass; `wake_at` is when the execution wants to be looked at again.

    `written` are the facts that this pass put into the status, and whose Events it tells itself.
    """

    wake_at: datetime | None = None
    written: frozenset[Fact] = frozenset()
    told_trouble: bool = False

    def tell_trouble(self, trouble: Exception) -> None:
        """Say once that passes do not get through; the status, which may be at fault, stays as it is."""
        if not self.told_trouble:
            self._emit(trouble_event(self.execution, trouble))

    def all(self, actions: Sequence[Action]) -> bool:
        """Carry out the actions; say whether something was learnt that needs a new decision."""
        self.wake_at = None
        for action in events_first(actions):
            self._one(action)
        return bool(actions) and isinstance(actions[-1], LEARNING)

    def _one(self, action: Action) -> None:  # noqa: C901 - one case an action, that is all
        match action:
            case AddFinalizer():
                self.confirm_claim()
                self.execution = self.ports.executions.add_finalizer(self.execution)
            case TakeTarget():
                self.confirm_claim()
                self._see_hold(self.ports.holds.take(self._target, self._owner))
            case YieldTarget(fence=fence):
                self._yield_target(fence)
            case CreateRun(attempt=attempt, fence=fence):
                self._create_run(attempt, fence)
            case DeleteRun(uid=uid):
                self._delete_run(uid)
            case CancelRun(uid=uid, because=because):
                self.confirm_claim()
                self.observed = replace(self.observed, run=self.ports.runs.cancel(self._run_seen(uid), because))
            case PatchStatus():
                self.confirm_claim()
                self._patch_status(action)
            case BufferFacts():
                self._buffer_facts()
            case EmitEvent():
                self._emit(action)
            case WakeAt(at=at):
                self.wake_at = at if self.wake_at is None else min(self.wake_at, at)
            case WakeLine(everyone=everyone):
                line = self.ports.holds.line(self._target, LINE_LIMIT if everyone else 1)
                self.ports.kicker.wake([waiting.key for waiting in line])
            case LeaveLine():
                self.confirm_claim()
                self.ports.kicker.wake(self.ports.holds.leave(self._target, self.execution.uid))
            case ReleaseTarget(fence=fence, clean=clean):
                self.confirm_claim()
                freed = self.ports.holds.release(self._target, self.execution.uid, fence, clean=clean)
                self.ports.kicker.wake(freed)
            case RemoveFinalizer():
                self.confirm_claim()
                self.ports.executions.remove_finalizer(self.execution)
                self._let_go()
            case _ as never:
                assert_never(never)

    def _yield_target(self, fence: int) -> None:
        run = self.observed.run
        key = run.execution_key if run is not None else None
        holder = self.ports.executions.get(key) if key is not None else None
        if run is None or holder is None or holder.uid != run.execution_uid:
            raise Conflict(f"the run of target {self._target} changed hands while its holder was looked up")
        other = Owner(holder.uid, holder.key, holder.created_at)
        self._see_hold(self.ports.holds.yield_to(self._target, self._owner, fence, other, run.fence or 0))

    def _create_run(self, attempt: int, fence: int) -> None:
        """Create the run of an attempt, or learn what stands in its way.

        A creation without a usable answer (a broken connection, 5xx, a webhook that is down) may have happened, so the
        run is looked for. The second time it counts as a refusal, which the status shows; when the API server does
        not even answer the question, nothing could be written either and the whole pass is repeated. The name guards
        against runs of the same kind only, so the other kind is looked up first.
        """
        manifest = run_manifest(self.execution, attempt, fence, self.policy)
        for _ in range(CREATION_TRIES):
            if self._see_other_kind() or self._frozen():
                return
            self._confirm_hold(fence)
            try:
                self.observed = replace(self.observed, run=self.ports.runs.create(manifest))
                return
            except AlreadyExists:
                if not self._see_existing_run(self.execution.spec.engine):
                    raise Conflict("the run under our name was gone when it was looked at") from None
                return
            except ResourceAbsent:
                self.ports.surroundings.engine_absent(self.execution.spec.engine)
                self.observed = replace(self.observed, engine_available=False)
                return
            except Permanent as fault:
                self.observed = replace(self.observed, refusal=refusal(fault.reason, str(fault), fault.said))
                return
            except Conflict as fault:
                # Not the name: a webhook that answers 409 refuses like any other.
                self.observed = replace(self.observed, refusal=refusal("Conflict", str(fault)))
                return
            except Transient as fault:
                trouble = str(fault)
                if self._see_existing_run(self.execution.spec.engine):
                    return
        self.observed = replace(self.observed, refusal=refusal("", trouble))

    def _delete_run(self, uid: str) -> None:
        self.confirm_claim()
        hold = self.observed.hold
        if isinstance(hold, Mine):
            self.observed = replace(self.observed, hold=replace(hold, suspect=True))
        else:
            # Only a holder waits until nothing is left before he releases; all others have to say so first.
            self.ports.holds.suspect([run_name(self._target)])
        seen = self._run_seen(uid)
        try:
            left = self.ports.runs.delete(seen)
        except Permanent as refused:
            words = f"run {run_name(self._target)} could not be deleted: {refused}"
            self._emit(EmitEvent(EventReason.CLEANUP_FAILED, words, max(self.execution.status.attempt, 1)))
            self.told_trouble = True
            raise
        now = self.clock.now()
        left_behind = remains(self.execution, self.observed.hold, left, now, self.policy, self.ports)
        self.observed = replace(self.observed, run=left, remains=left_behind, deleted_run=seen)

    def _patch_status(self, action: PatchStatus) -> None:
        before = self.execution
        try:
            self.execution = self.ports.executions.patch_status(before, action.status)
        except Transient as trouble:
            self.execution = self._written_after_all(action, trouble)
        self.written = frozenset(self.execution.status.pending_facts).difference(before.status.pending_facts)
        self.ports.observer.transition(before, action.status, self.clock.now(), self._run_ended(before))
        told = [f for f in before.status.pending_facts if f not in action.status.pending_facts]
        if told:
            self.ports.facts.trimmed(before.uid, [event_id(before.uid, f.type, f.attempt) for f in told])

    def _written_after_all(self, action: PatchStatus, trouble: Transient) -> Execution:
        """Return the execution when only the answer to the write was lost, so that it counts as any other; else raise.

        Only passes write this status, and no other pass of this execution began meanwhile.
        """
        found = self.ports.executions.get(self.execution.key)
        self.confirm_claim()
        if found is None or found.uid != self.execution.uid or status_patch(found.status, action.status):
            raise trouble
        log.info("%s: written, its answer was lost: %s", self.execution.key, trouble)
        return found

    def _buffer_facts(self) -> None:
        events = [(event.event_id, event.encoded()) for event in pending_events(self.execution)]
        # While its run goes on nothing is written for an acknowledgement alone: the next transition takes it along.
        awaited = self.execution.status.phase is not Phase.RUNNING
        new = self.ports.facts.append(self.execution.uid, self.execution.key, events, awaited=awaited)
        if new:
            self.ports.observer.buffered(new)
            self.ports.kicker.flush_soon()
        pending = self.execution.status.pending_facts
        found = tuple(fact for fact in pending if fact not in self.written)
        if new > len(pending) - len(found):
            # Not written by us and unknown to the outbox: its writer died before telling it, or Redis was emptied.
            for event in retold(self.execution, found, self.policy):
                self._emit(event)

    def _let_go(self) -> None:
        """Name what a deleted execution did not wait for: it is in the outbox, unless Redis was emptied meanwhile."""
        execution, settled = self.execution, self.observed.acknowledged | self.observed.refused_facts.keys()
        ids = {event_id(execution.uid, f.type, f.attempt): f for f in execution.status.pending_facts}
        left = [f"{fact.type.value}/{fact.attempt} {name}" for name, fact in ids.items() if name not in settled]
        if left:
            log.warning("%s: gone, DataStorage had not acknowledged: %s", execution.key, ", ".join(left))
            self.ports.observer.let_go(len(left))

    def _emit(self, event: EmitEvent) -> None:
        tell(self.ports.executions, self.execution, event, self.clock.now())
