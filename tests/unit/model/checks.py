"""The invariants I1-I8, checked in the step in which the world changes. Nothing here reads what production believes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from models.audit import event_id
from models.execution import Execution, read_execution
from models.freeze import read_freeze
from models.job import read_job
from models.keys import Key
from models.policy import Policy
from models.run import Run, read_run
from models.status import ConditionType, FactType, Phase, Status, WaitReason
from tests.unit.model.api_server import Change, Document, ModelCluster, Violation
from tests.unit.model.room import Hold, Room
from tests.unit.model.storage import ModelStorage
from tests.unit.model.tekton import ModelTekton

LEGAL = {
    Phase.PENDING: {Phase.PENDING, Phase.RUNNING, Phase.FAILED, Phase.SKIPPED},
    Phase.RUNNING: {Phase.RUNNING, Phase.COMPLETED, Phase.FAILED},
}
READ: dict[str, Callable[[Document], Run]] = {"pipelineruns": read_run, "jobs": read_job}
FORCE = "operator"
STALL = timedelta(seconds=15)
CLAIM = timedelta(seconds=6)
"""How long a claim lasts: what a process that was stopped had sent before may arrive after another pass has begun."""
FREEZE_SEEN = timedelta(seconds=5)
AUDIT_GRACE = timedelta(seconds=30)


@dataclass
class Checks:
    """What must hold after every step, and what must hold once everything has come to rest."""

    cluster: ModelCluster
    tekton: ModelTekton
    storage: ModelStorage
    room: Room
    policy: Policy
    now: Callable[[], datetime]
    writer: Callable[[], str]
    stalled: Callable[[], timedelta]
    task_began: Callable[[], datetime]
    facts: dict[tuple[str, FactType, int], str] = field(default_factory=dict)
    started: set[tuple[str, int]] = field(default_factory=set)
    ended: Counter[str] = field(default_factory=Counter)
    told: Counter[tuple[str, str]] = field(default_factory=Counter)
    pardoned: set[str] = field(default_factory=set)
    excused: dict[str, datetime] = field(default_factory=dict)
    highest_fence: int = 0
    wiped_at: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    leaving: set[str] = field(default_factory=set)
    gone: dict[str, datetime] = field(default_factory=dict)
    late_runs: set[str] = field(default_factory=set)
    made: dict[str, datetime] = field(default_factory=dict)
    cancelled: dict[str, datetime] = field(default_factory=dict)
    frozen_at: datetime | None = None
    robbed: set[str] = field(default_factory=set)
    given: dict[str, datetime] = field(default_factory=dict)
    forced: set[str] = field(default_factory=set)
    restore_began: datetime | None = None
    bared: set[str] = field(default_factory=set)
    run_ended: dict[str, datetime] = field(default_factory=dict)
    resynced_at: datetime = datetime(1970, 1, 2, tzinfo=UTC)
    on_its_way: Callable[[Key], bool] = lambda key: False

    def __post_init__(self) -> None:
        self.cluster.listeners.append(self.changed)

    def executions(self) -> list[Execution]:
        return [read_execution(d) for place, d in self.cluster.objects.items() if place[0] == "workflowexecutions"]

    def runs(self) -> list[Run]:
        return [READ[place[0]](d) for place, d in self.cluster.objects.items() if place[0] in READ]

    def living(self, uid: str) -> Execution | None:
        return next((e for e in self.executions() if e.uid == uid), None)

    # -- writes at the API server

    def changed(self, change: Change) -> None:
        before, after = change.before, change.after
        if change.plural == "workflowexecutions":
            if after is not None and _going(after):
                self.leaving.add(after["metadata"]["uid"])
            if after is None and before is not None:
                self.gone[before["metadata"]["uid"]] = self.now()
                self._execution_gone(read_execution(before))
            elif before is not None and after is not None and before.get("status") != after.get("status"):
                self._status_written(read_execution(before), read_execution(after))
        elif change.plural in READ:
            if before is None and after is not None:
                self._run_created(READ[change.plural](after))
            elif before is not None and _going(after) and not _going(before):
                self._run_deleted(READ[change.plural](before))
            if after is not None and READ[change.plural](after).succeeded is not None:
                self.run_ended.setdefault(after["metadata"]["uid"], self.now())
        elif change.plural == "configmaps":
            frozen = read_freeze(after) is not None
            self.frozen_at = (self.frozen_at or self.now()) if frozen else None
        elif change.plural == "events" and after is not None:
            self._event_told(after)

    def _status_written(self, old: Execution, new: Execution) -> None:
        before, after = old.status, new.status
        if self.writer() == FORCE:
            return
        if before.phase.terminal:
            self._fixed(before, after)
        else:
            claim(after.phase in LEGAL[before.phase], f"I5 {before.phase} became {after.phase}")
        claim(after.attempt >= before.attempt, "status: the attempt went back")
        claim(after.failures <= max(after.attempt, before.failures), "status: more failures than attempts")
        claim((after.fence or 0) >= (before.fence or 0), "status: the fence went back")
        if after.failures > before.failures and not after.phase.terminal:
            told = next((f.at for f in after.pending_facts if f.type is FactType.RETRYING), self.now())
            waits = after.next_allowed is not None and after.next_allowed - told >= self.policy.backoff_base * 0.7
            claim(waits, "status: a retry without a wait")
            once = after.failures == before.failures + 1 == after.attempt
            claim(once, "status: a retry that does not count one more attempt")
        if after.phase is Phase.RUNNING:
            made = (new.uid, after.attempt) in self.started
            known = made or before.phase is Phase.RUNNING or new.uid in self.late_runs
            claim(known, f"I6 {new.key} runs with a run that it never created")
            complete = after.run_name and after.started_at and after.fence is not None and after.attempt
            claim(complete, "status: Running without run, startTime, fence or attempt")
        if after.phase.terminal and self.stalled() > STALL:
            self.forced.add(new.uid)
        if after.phase.terminal:
            claim(after.completed_at is not None, "status: terminal without completionTime")
            unlocked = after.condition(ConditionType.LOCKED) is None and after.queue is None
            claim(unlocked, "status: terminal and still in line")
        self._facts_kept(old, new)

    def _fixed(self, before: Status, after: Status) -> None:
        claim(after.phase is before.phase, f"I5 terminal {before.phase} became {after.phase}")
        claim(before.completed_at in (None, after.completed_at), "I5 completionTime changed after the end")
        same = (before.failure, before.attempt, before.failures, before.started_at)
        now = (after.failure, after.attempt, after.failures, after.started_at)
        named = before.run_name == after.run_name or before.completed_at is None
        claim(same == now and named and before.skip == after.skip, "I5 a terminal status changed")
        for was, is_ in ((before.clearance, after.clearance), (before.unlock, after.unlock)):
            claim(was is None or was == is_, "I5 a record of who lifted a block changed")

    def _facts_kept(self, old: Execution, new: Execution) -> None:
        had = {(f.type, f.attempt) for f in old.status.pending_facts}
        has = {(f.type, f.attempt) for f in new.status.pending_facts}
        for kind, attempt in had - has:
            stored = event_id(old.uid, kind, attempt) in self.storage.events
            claim(stored, f"I4 {kind} {attempt} of {old.key} left the status and is not stored")
        for kind, attempt in has - had:
            again = kind is FactType.CANCELLED and any(told[:2] == (new.uid, kind) for told in self.facts)
            claim(not again, f"I4 {new.key} was cancelled twice")
            claim((new.uid, kind, attempt) not in self.facts, f"I4 {kind} {attempt} of {new.key} is told twice")
            self.facts[(new.uid, kind, attempt)] = str(new.key)
        needed = self._told_by(old.status, new.status)
        claim(needed <= has - had, f"I4 a transition of {new.key} without its fact {needed - (has - had)}")
        if new.status.phase.terminal and not old.status.phase.terminal:
            self.ended[new.status.phase.value] += 1

    @staticmethod
    def _told_by(before: Status, after: Status) -> set[tuple[FactType, int]]:
        needed = set()
        if after.phase is Phase.RUNNING and after.attempt > max(before.failures, before.attempt - 1):
            began = before.phase is Phase.PENDING or after.attempt > before.attempt
            if began and after.failures < after.attempt:
                needed.add((FactType.STARTED, after.attempt))
        if after.phase.terminal and not before.phase.terminal:
            kind = {Phase.COMPLETED: FactType.COMPLETED, Phase.FAILED: FactType.FAILED}
            needed.add((kind.get(after.phase, FactType.SKIPPED), after.attempt))
        if after.failures > before.failures and not after.phase.terminal:
            needed.add((FactType.RETRYING, after.attempt))
        if after.cancellation is not None and before.cancellation is None:
            needed.update((f.type, f.attempt) for f in after.pending_facts if f.type is FactType.CANCELLED)
            claim(any(f.type is FactType.CANCELLED for f in after.pending_facts), "I4 cancelled without its fact")
        if after.clearance is not None and before.clearance is None:
            needed.add((FactType.BLOCK_CLEARED, after.attempt))
        if after.unlock is not None and before.unlock is None:
            needed.add((FactType.UNLOCKED, after.attempt))
        return needed

    def _execution_gone(self, execution: Execution) -> None:
        if self.writer() == FORCE:
            return
        uid, deleted = execution.uid, execution.deleted_at
        claim(deleted is not None, "an execution vanished that nobody deleted")
        blocked = _failed_in_mid_run(execution.status) and execution.guarded
        claim(not blocked, f"I3 {execution.key} went with its block, and nobody was told")
        self.pardoned.add(uid)
        for run in self.runs():
            theirs = run.execution_uid == uid and run.uid not in self.late_runs and self.stalled() < STALL
            claim(not theirs, f"I7 {execution.key} is gone and its run {run.uid} stands")
        late = self.stalled() > STALL or (uid in self.given and self.now() < self.given[uid] + STALL)
        if self.room.epoch and execution.guarded and not late:
            claim(uid not in self.room.owners, f"I7 {execution.key} is gone and still holds or waits in Redis")
        if deleted is not None and self.now() < deleted + AUDIT_GRACE:
            for kind, attempt in ((f.type, f.attempt) for f in execution.status.pending_facts):
                stored = event_id(uid, kind, attempt) in self.storage.events
                claim(stored, f"I4 {execution.key} went with {kind} {attempt} unsent before the grace was over")

    # -- runs

    def _run_created(self, run: Run) -> None:
        if self.writer() == FORCE:
            return
        now, target = self.now(), run.target
        late = (
            self.stalled() > STALL or self.task_began() < self.wiped_at
        )  # decided on, then stopped on its way out, or its claim lost with Redis: nobody can take it back
        pods = [p for p in self.tekton.live_pods(run.name) if not p["metadata"]["name"].endswith(run.uid)]
        claim(not pods or late or self._excused(target), f"I1 {run.name} created while a pod of the run before lives")
        if late:
            self.late_runs.update((run.uid, run.execution_uid))
            self.excuse(target)
        doubles = [other for other in self.runs() if other.name == run.name and other.uid != run.uid]
        # What somebody else creates between our look and our creation nobody can see coming.
        doubles = [other for other in doubles if other.execution_uid or other.created_at < now - STALL]
        claim(not doubles or late or self._excused(target), f"I1 a {run.kind} {run.name} beside one of the other kind")
        left = self.tekton.task_runs_left(run.name)
        claim(not left or late or self._excused(target), f"I1 {run.name} created over a TaskRun of the run before")
        execution = self.living(run.execution_uid)
        if execution is not None and not late:
            due = execution.status.next_allowed
            claim(due is None or now >= due, f"I3 {execution.key} created a run before nextAllowedExecution")
            over = execution.status.phase.terminal and execution.uid not in self.forced
            if over and self.stalled() > CLAIM:
                self.late_runs.add(run.uid)
                over = False
            claim(not over, f"I3 {execution.key} has ended and created a run")
            fresh = (execution.uid, run.attempt) not in self.started or execution.uid in self.robbed
            claim(fresh, f"attempt {run.attempt} of {execution.key} was created twice")
        if not late:
            asked = self.cancelled.get(run.execution_uid)
            claim(asked is None or self.task_began() <= asked, f"{run.execution_key}: a run after its cancel")
            frozen = self.frozen_at is not None and self.task_began() > self.frozen_at + FREEZE_SEEN
            claim(not frozen, f"{run.execution_key} created a run although everything is frozen")
        self.started.add((run.execution_uid, run.attempt))
        self.made[run.uid] = now
        for other in self.executions():
            rests = self._rests_until(other)
            if other.uid != run.execution_uid and other.spec.target == target and rests is not None:
                resting = now < rests and not late and not self._excused(target)
                claim(not resting, f"I3 run of {run.execution_key} inside the cooldown of {other.key}")
            if other.uid != run.execution_uid and other.spec.target == target and self.blocks(other):
                forced = late or self._excused(target) or other.uid in self.bared
                claim(forced, f"I3 run of {run.execution_key} past the block of {other.key}")

    def _run_deleted(self, run: Run) -> None:
        if self.writer() == FORCE:
            return
        claim(run.execution_uid, f"I6 deleted {run.name}, which is not ours")
        execution, now = self.living(run.execution_uid), self.now()
        if execution is None:
            done = run.succeeded is not None and now >= (run.ended_at or now) + self.policy.cooldown
            gone = self.gone.get(run.execution_uid)  # by force, while its own pass was deleting the run
            leaving = run.execution_uid in self.leaving or (gone is not None and now < gone + STALL)
            claim(done or leaving, f"I6 deleted the orphan {run.uid} before it rested")
            return
        if execution.deleted_at is not None or run.attempt < execution.next_attempt or run.uid in self.late_runs:
            return
        rests = self._rests_until(execution)
        unlocked = execution.status.phase.terminal and execution.status.unlock is not None
        cancelled = execution.status.cancellation
        if cancelled is not None and now >= cancelled.at + self.policy.cancel_timeout - timedelta(seconds=1):
            return
        claim(
            unlocked or (rests is not None and now >= rests), f"I6 deleted the run of {execution.key}, which needs it"
        )

    def _rests_until(self, execution: Execution) -> datetime | None:
        status = execution.status
        if not status.phase.terminal or not status.attempt or status.completed_at is None or execution.deleted_at:
            return None
        had_run = status.run_name or status.failures == status.attempt
        return status.completed_at + self.policy.cooldown if had_run and status.unlock is None else None

    def blocks(self, execution: Execution) -> bool:
        """Say whether nobody has lifted the block of an execution that failed in mid-run."""
        return _failed_in_mid_run(execution.status) and execution.deleted_at is None

    def instants(self) -> list[tuple[datetime, Key]]:
        """Return the instants that decide what may happen to which execution: ends of cooldowns and waits."""
        now, found = self.now(), []
        for e in self.executions():
            at = self._rests_until(e) or e.status.next_allowed
            if at is not None and at > now:
                found.append((at, e.key))
        return found

    def excuse(self, target: str) -> None:
        """Note that a person took a target's protection away by force."""
        self.excused[target] = self.now() + self.policy.cooldown + timedelta(seconds=60)

    def _excused(self, target: str) -> bool:
        return target in self.excused and self.now() < self.excused[target]

    def _event_told(self, event: Document) -> None:
        told = (event["involvedObject"]["uid"], event["reason"])
        execution = self.living(told[0])
        if told[1] in ("WorkflowCompleted", "WorkflowFailed") and execution is not None:
            claim(execution.status.phase.terminal, f"I8 Kubernetes Event {told} before its transition")
        self.told[told] += 1
        once = event["reason"] in ("WorkflowCompleted", "WorkflowFailed", "LockReleased", "RetriesExhausted")
        claim(not once or self.told[told] == 1, f"I8 Kubernetes Event {told} twice")

    # -- Redis

    def around_redis(self, label: str, method: str, call: Callable[[], Any], arguments: tuple[Any, ...]) -> Any:
        """Make one call of the holds and compare the room before and after it."""
        before, epoch = dict(self.room.holds), self.room.epoch
        heads = {target: self._head(target) for target in self.room.lines}
        result = call()
        for target in sorted({*before, *self.room.holds}):
            old, new = before.get(target), self.room.holds.get(target)
            if (old and (old.uid, old.fence)) != (new and (new.uid, new.fence)):
                self._hold_changed(method, target, old, new, heads.get(target), arguments)
        if method == "begin_restore" and result:
            self.restore_began = self.now()
        if method == "open_gate" and self.room.epoch != epoch:
            self._restored()
        return result

    def _hold_changed(
        self,
        method: str,
        target: str,
        old: Hold | None,
        new: Hold | None,
        head: tuple[int, str] | None,
        arguments: tuple[Any, ...],
    ) -> None:
        if method in ("restore", "begin_restore"):
            self.highest_fence = max(self.highest_fence, self.room.fence)
            return
        claim(self.room.epoch, "a hold changed behind a closed gate")
        if method == "take" and new is not None:
            claim(old is None, f"a held target {target} was taken")
            claim(new.fence > self.highest_fence, f"fence {new.fence} of {target} does not grow")
            place = (int(arguments[1].created.timestamp()), new.uid)
            claim(head is None or place <= head, f"{target} was taken past the head of its line")
            self.highest_fence = new.fence
        if method == "yield_to" and new is not None:
            self.given[new.uid] = self.now()  # given back while its pass is under way: vanish cleans up after it
        if method == "release" and old is not None:
            claim(old.fence == arguments[2], f"{target} was released under an old fence")
        if old is not None and new is None and method in ("release", "vanish") and self.writer() != FORCE:
            self._freed(target, old)

    def _freed(self, target: str, hold: Hold) -> None:
        execution = self.living(hold.uid)
        if execution is None:
            return
        if self.stalled() > STALL:  # it was gone when that call set out, and another has its name since
            self.excuse(target)
            self.bared.add(hold.uid)
            return
        theirs = [run for run in self.runs() if run.execution_uid == hold.uid and run.uid not in self.late_runs]
        claim(not theirs, f"{target} freed while its run exists")
        name = execution.status.run_name
        alone = not any(run.name == name for run in self.runs())  # pods of a foreign run would look the same
        claim(
            not name or not alone or not self.tekton.live_pods(name), f"I1 {target} freed while a pod of its run lives"
        )
        if execution.deleted_at is None:
            rests = self._rests_until(execution)
            over = execution.status.phase.terminal and (rests is None or self.now() >= rests)
            over = over and not self.blocks(execution)
            claim(over, f"I3 {target} freed by {execution.key}, which still needs it")

    def after_sweep(self, found: list[Key]) -> list[Key]:
        """Say whether everything that wants a pass now has a message on its way."""
        room, now = self.room, self.room.now
        wanting = [key for zset in (room.due, room.running) for key, at in zset.items() if at <= now]
        for key in wanting:
            stamps = (room.kicked.get(key, 0), room.timers.get(key, 0))
            alive = room.running.get(key, 0) > now
            claim(alive or any(now - 5000 < stamp <= now for stamp in stamps), f"the sweep forgot {key}")
        self._nobody_is_forgotten()
        return found

    def _nobody_is_forgotten(self) -> None:
        """A Running execution whose run has ended is due, under way, or known to the watcher: no resync is needed.

        Except when Redis came back empty: what was due is lost until a resync that began after it has ended.
        """
        now = self.now()
        if not self.room.epoch or self.resynced_at <= self.wiped_at:
            return
        runs = {run.execution_uid: run for run in self.runs()}
        for e in self.executions():
            run = runs.get(e.uid)
            if run is None or e.status.phase is not Phase.RUNNING or e.attempt_failed or e.deleted_at is not None:
                continue
            ended = self.run_ended.get(run.uid)
            if ended is None or run.deleting or run.attempt != e.status.attempt or now < ended + STALL:
                continue
            wanted = str(e.key) in self.room.due or str(e.key) in self.room.running or self.on_its_way(e.key)
            claim(wanted, f"I2 the run of {e.key} has ended and nobody will look")

    def _head(self, target: str) -> tuple[int, str] | None:
        line = self.room.lines[target]
        return min(((created, uid) for (uid, _), created in line.items()), default=None)

    def _restored(self) -> None:
        began = self.restore_began
        for run in self.runs():
            execution = self.living(run.execution_uid)
            if (
                execution is None
                or began is None
                or self.made.get(run.uid, run.created_at) >= began
                or execution.deleted_at
            ):
                continue
            hold = self.room.holds.get(execution.spec.target)
            right = hold is not None and hold.uid == execution.uid
            claim(right, f"the gate opened without the hold of {execution.key}, whose run exists")
        for execution in self.executions():
            at = execution.status.completed_at
            if not self.blocks(execution) or began is None or at is None or at >= began or execution.uid in self.bared:
                continue
            claim(execution.spec.target in self.room.holds, f"the gate opened without the block of {execution.key}")

    # -- at rest

    def at_rest(self, counted: Counter[str], uncounted: int) -> list[str]:
        """Return what is still wrong once nothing disturbs any more."""
        blocked = {e.spec.target: e for e in self.executions() if self.blocks(e)}
        behind = {e.uid for e in self.executions() if e.spec.target in blocked and _waits_for_a_person(e)}
        wrong = [text for e in self.executions() if e.uid not in behind and (text := _unfinished(e))]
        wrong += [
            f"I3 {e.key} blocks {target} without holding it"
            for target, e in blocked.items()
            if (hold := self.room.holds.get(target)) is None or not self._is_blocked_by(hold.uid)
        ]
        left = [run for run in self.runs() if run.execution_uid]
        wrong += [f"I7 run {run.uid} of {run.execution_key} ({run.execution_uid}) is left" for run in left]
        for target, hold in self.room.holds.items():
            if not self._is_blocked_by(hold.uid):
                wrong.append(f"I7 left: hold {target} of {hold.key}")
        for target, line in self.room.lines.items():
            places = [place for place in line if place[0] not in behind and not self._is_blocked_by(place[0])]
            wrong += [f"I7 left: line of {target}: {places}"] if places else []
        known = {uid: at for uid, at in self.room.owners.items() if uid not in behind and not self._is_blocked_by(uid)}
        wrong += [f"I7 left: owner {uid} {at}" for uid, at in known.items()]
        for (uid, kind, attempt), key in self.facts.items():
            if event_id(uid, kind, attempt) not in self.storage.events and uid not in self.pardoned:
                wrong.append(f"I4 {kind} {attempt} of {key} was never stored")
        wrong += [f"I4 {text}" for text in self.storage.conflicts]
        for outcome, count in self.ended.items():
            told = counted[outcome]
            if not count - uncounted <= told <= count:
                wrong.append(f"I8 {count} times {outcome}, counted {told}, {uncounted} writers died in between")
        return wrong

    def _is_blocked_by(self, uid: str) -> bool:
        execution = self.living(uid)
        return execution is not None and self.blocks(execution)


def _failed_in_mid_run(status: Status) -> bool:
    """Say whether a task had started, and nobody has lifted the block since."""
    failed = status.phase is Phase.FAILED and status.failure is not None and status.failure.started
    return failed and status.clearance is None and status.unlock is None


def _waits_for_a_person(e: Execution) -> bool:
    """Say whether an execution rightly waits behind a block, and says so."""
    told = e.status.phase is Phase.PENDING and e.status.reason == WaitReason.PREVIOUS_FAILED
    return told and e.deleted_at is None and not e.status.pending_facts


def _unfinished(e: Execution) -> str:
    if e.deleted_at is not None:
        return f"I7 {e.key} is deleted and still here"
    if not e.status.phase.terminal:
        return f"I2 {e.key} is {e.status.phase} ({e.status.reason or 'no reason'})"
    if e.status.pending_facts:
        return f"I4 {e.key} has facts pending: {[f.type.value for f in e.status.pending_facts]}"
    if e.status.phase is Phase.COMPLETED and not e.status.run_name:
        return f"{e.key} completed without a run"
    return ""


def _going(document: Document | None) -> bool:
    return document is None or bool(document["metadata"].get("deletionTimestamp"))


def claim(holds: object, words: str) -> None:
    """Raise Violation unless it holds."""
    if not holds:
        raise Violation(words)
