"""What a pass needs of the outside, as protocols; adapters and the Redis room provide it, unit tests use small fakes.

Every method may raise Transient (the other side cannot answer now); writes may raise Conflict (look again).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from models.actions import EmitEvent
from models.answers import Answers
from models.execution import Engine, Execution
from models.freeze import Freeze
from models.hold import HoldView, Known, Owner
from models.keys import Key
from models.run import Run
from models.status import Status
from models.task_run import TaskRun

T = TypeVar("T")


class Executions(Protocol):
    """WorkflowExecutions at the API server; reads are consistent, never from a cache."""

    def get(self, key: Key) -> Execution | None: ...

    def all(self) -> Iterator[Execution]: ...

    def add_finalizer(self, execution: Execution) -> Execution: ...

    def remove_finalizer(self, execution: Execution) -> None: ...

    def patch_status(self, execution: Execution, status: Status) -> Execution: ...

    def emit(self, execution: Execution, event: EmitEvent, now: datetime) -> None: ...


class Runs(Protocol):
    """Runs of both engines in the execution namespace.

    `get` reads one kind; the other kind may have a run of that name, too. `create` raises AlreadyExists, or Permanent
    with the API server's reason when it refuses. `delete` touches only the run with that uid and returns what is left
    of it (terminating), None when it is gone. `cancel` asks the run with that uid to end gently and returns it, None
    when it is gone. `task_runs` are the TaskRuns of a PipelineRun or the pods of a Job. `remains` counts TaskRuns,
    and pods that have not ended, of runs of a name; `leftovers` yields the run names of all there are.
    """

    def get(self, name: str, engine: Engine) -> Run | None: ...

    def all(self) -> Iterator[Run]: ...

    def create(self, manifest: dict[str, Any]) -> Run: ...

    def delete(self, run: Run) -> Run | None: ...

    def cancel(self, run: Run, because: str = "") -> Run | None: ...

    def task_runs(self, run: Run) -> tuple[TaskRun, ...]: ...

    def remains(self, run_name: str) -> int: ...

    def leftovers(self) -> Iterator[str]: ...


class TargetHolds(Protocol):
    """Holds and lines. Methods that free a target or a place return the keys that may go on now.

    `suspect` notes that a run of a name may have left something; a `clean` release says that nothing is left.
    """

    def look(self, target: str, uid: str) -> HoldView: ...

    def known(self, key: Key) -> Known | None: ...

    def take(self, target: str, owner: Owner) -> HoldView: ...

    def yield_to(self, target: str, owner: Owner, fence: int, other: Owner, other_fence: int) -> HoldView: ...

    def release(self, target: str, uid: str, fence: int, *, clean: bool) -> Sequence[Key]: ...

    def leave(self, target: str, uid: str) -> Sequence[Key]: ...

    def vanish(self, key: Key, uid: str | None) -> Sequence[Key]: ...

    def suspect(self, run_names: Iterable[str]) -> None: ...

    def line(self, target: str, limit: int) -> Sequence[Owner]: ...


class FactBuffer(Protocol):
    """The outbox, as a pass sees it. `append` takes (event id, JSON body) and returns how many were new to it.

    `answers` says what became of events of an execution.
    """

    def append(self, execution_uid: str, key: Key, events: Sequence[tuple[str, bytes]], *, awaited: bool) -> int: ...

    def answers(self, uid: str, event_ids: Sequence[str]) -> Answers: ...

    def trimmed(self, uid: str, event_ids: Iterable[str]) -> None: ...


class Kicker(Protocol):
    """Makes keys due and lets a worker know; the message is only a hint."""

    def wake(self, keys: Iterable[Key]) -> None: ...

    def flush_soon(self) -> None: ...


class Observer(Protocol):
    """Counts what happened: each transition that was written, each audit event that was new to the outbox or is
    no longer waited for."""

    def transition(
        self, before: Execution, after: Status, now: datetime, run_ended: datetime | None = None
    ) -> None: ...

    def buffered(self, events: int) -> None: ...

    def let_go(self, events: int) -> None: ...


class Clock(Protocol):
    """The instant of a pass: Redis TIME at its start plus what has passed since on this machine's monotonic clock."""

    def now(self) -> datetime: ...


class Surroundings(Protocol):
    """What is true of the whole cluster. Answers come from memory and are at most a few seconds old.

    `freeze` is the freeze in force; it raises Transient when nothing is known for too long, so that nothing starts.
    `engine_available` says whether the API server serves the kind of run, `engine_absent` that it turned out not to;
    `requester_verified` says whether the admission policy that makes the requested-by annotation true is in force.
    """

    def freeze(self) -> Freeze | None: ...

    def engine_available(self, engine: Engine) -> bool: ...

    def engine_absent(self, engine: Engine) -> None: ...

    def requester_verified(self) -> bool: ...


class Aside(Protocol):
    """Begins a read beside the caller's thread; what it returns waits for the answer, or raises what was raised."""

    def __call__(self, read: Callable[[], T]) -> Callable[[], T]: ...


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything one pass works with."""

    executions: Executions
    runs: Runs
    holds: TargetHolds
    facts: FactBuffer
    kicker: Kicker
    observer: Observer
    surroundings: Surroundings
    aside: Aside


HOLD_TRUST = timedelta(seconds=5)
"""How long a confirmed hold counts as confirmed; before a creation an older one is asked for again."""
