"""Planted defects: each takes one guard out of the code, and the model test has to notice.

A mutation rewrites the source of one function and stands in for it; it fails loudly when the text it wants to change is
not there any more, and then wants to be planted anew.
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from models import audit, execution, restore, run
from models.rules import begin, cancelling, cooldown, ending, follow, leave, lifting, rest, starting, taken, waiting
from tasks import delivery, upkeep
from tasks.adapters.executions import ClusterExecutions
from tasks.passes import act
from tests.unit.model.room import ModelQueue
from tests.unit.model.room_holds import ModelHolds
from tests.unit.model.world import Disturbance


@dataclass(frozen=True, slots=True)
class Mutation:
    """One text for another in one function of a module or class."""

    name: str
    owner: Any
    function: str
    old: str
    new: str
    eager: tuple[str, ...] = ()
    chaos: Disturbance | None = None

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Put the changed function in place."""
        found = inspect.getattr_static(self.owner, self.function)
        plain: Any = found.fget if isinstance(found, property) else found
        source = textwrap.dedent(inspect.getsource(plain))
        if source.count(self.old) != 1:
            raise LookupError(f"{self.name}: {self.old!r} is not once in {plain.__qualname__}, plant it anew")
        made: dict[str, Any] = {}
        text = "from __future__ import annotations\n" + source.replace(self.old, self.new)
        exec(compile(text, f"<{self.name}>", "exec"), plain.__globals__, made)
        changed = made[self.function]  # decorators, property too, are part of the source
        with ExitStack() as stack:
            stack.enter_context(patch.object(self.owner, self.function, changed))
            for module in [m for name, m in sys.modules.items() if name.startswith(("models.", "tasks."))]:
                if not inspect.isclass(self.owner) and getattr(module, self.function, None) is found:
                    stack.enter_context(patch.object(module, self.function, changed))
            yield


PAST_COOLDOWN = "(status.phase.terminal and (not status.completed_at or now >= status.completed_at + policy.cooldown))"

MUTATIONS = (
    Mutation("release without the fence", ModelHolds, "release", " or hold.fence != fence", "", eager=("_unlock",)),
    Mutation("take behind a closed gate", ModelHolds, "take", "if not room.epoch:", "if False:"),
    Mutation(
        "take past the head of the line",
        ModelHolds,
        "take",
        "if isinstance(seen, Busy):\n        self._join",
        "if isinstance(seen, Busy) and target in room.holds:\n        self._join",
    ),
    Mutation("a fence that does not grow", ModelHolds, "take", "max(room.fence + 1, room.time_us())", "room.fence + 1"),
    Mutation(
        "a place that outlives its execution", ModelHolds, "vanish", "self._drop_place(target, known", "str(known"
    ),
    Mutation("a crashed pass is forgotten", ModelQueue, "overdue", "(room.running, room.due)", "(room.due,)"),
    Mutation("a resync that wakes nobody", upkeep, "resync", "*found.unfinished, ", ""),
    Mutation("orphans are left", upkeep, "resync", "in found.orphans", "in ()"),
    Mutation("holders without a status are not restored", restore, "_claim", "run is None and (status", "(status"),
    Mutation(
        "restored under a gate somebody else opened",
        ModelHolds,
        "open_gate",
        "restoration is not None and (room.restoring != restoration or not self.restoring())",
        "False",
    ),
    Mutation("status written without compare-and-set", ClusterExecutions, "patch_status", '"metadata": {', '"m": {'),
    Mutation("adopt another's run", run.Run, "ownership", "else Ownership.ANOTHERS", "else Ownership.OURS"),
    Mutation(
        "the loser deletes the winner's run",
        begin,
        "create_or_adopt",
        "YieldTarget(mine.fence)",
        "DeleteRun(run.uid)",
        ("_unlock",),
    ),
    Mutation(
        "delete a foreign run",
        begin,
        "create_or_adopt",
        "return _lost_to_foreign(execution, observed, run, now, policy)",
        "return (DeleteRun(run.uid),)",
    ),
    Mutation("no completionTime", ending, "ended", "completed_at=completed", "completed_at=None"),
    Mutation("an attempt that never counts", execution.Execution, "next_attempt", "failures + 1", "failures or 1"),
    Mutation("retried at once", follow, "_try_again", "now < due", "due < now < due"),
    Mutation("no cooldown", rest, "rest", "now < until", "until < now < until"),
    Mutation(
        "a block that is dropped", rest, "rest", "if blocking:\n        return keep", "if False:\n        return keep"
    ),
    Mutation(
        "a block that ends with the cooldown", cooldown, "blocks", "and not lifted", "and status.run_status is None"
    ),
    Mutation("a restoration forgets blocks", restore, "_claim", "not keeps_target(status, now, policy)", PAST_COOLDOWN),
    Mutation(
        "cleared without a record",
        lifting,
        "_clear",
        ".with_fact(FactType.BLOCK_CLEARED, attempt, now)",
        "",
        ("_clear",),
    ),
    Mutation(
        "unlocked without a record",
        lifting,
        "lift",
        ".with_fact(FactType.UNLOCKED, status.attempt, now)",
        "",
        ("_ask_unlock",),
    ),
    Mutation(
        "deleted without a word of its block", leave, "leave", "if blocks(execution.status, policy):", "if False:"
    ),
    Mutation(
        "a skip without its fact", taken, "_skip", "new = new.with_fact(FactType.SKIPPED, new.attempt, now)", "pass"
    ),
    Mutation(
        "an adopted run that has ended is not looked at again",
        starting,
        "start",
        "(WakeAt(now),) if run.succeeded",
        "() if run.succeeded",
        chaos=Disturbance(crash=0.03),
    ),
    Mutation(
        "released while the run is terminating",
        rest,
        "_free_target",
        "if run is not None:",
        "if False:",
    ),
    Mutation("released while pods live", rest, "_free_target", "if observed.remains:", "if False:"),
    Mutation("let go before the run is deleted", leave, "leave", "if run is not None:", "if False:"),
    Mutation("let go with the hold", leave, "leave", "(ReleaseTarget(fence, clean=observed.run is None),)", "()"),
    Mutation("let go without its audit", leave, "leave", "not _audited(execution, observed)", "False"),
    Mutation("one id for all attempts", audit, "event_id", "/{attempt}", ""),
    Mutation(
        "acknowledged before it is stored",
        delivery,
        "deliver",
        "    try:\n        store.store",
        "    buffer.acknowledge(items)\n    try:\n        store.store",
    ),
    Mutation(
        "counted before it is written",
        act.Act,
        "_patch_status",
        "before = self.execution\n",
        "before = self.execution\n    self.ports.observer.transition(before, action.status, self.clock.now())\n",
    ),
    Mutation(
        "told before it is written",
        ending,
        "_end",
        "(*write(execution, observed, new, now), *events,",
        "(*events, *write(execution, observed, new, now),",
    ),
    Mutation("each place in line is a new fact", waiting, "wait_in_line", "if status.queue is None:\n", "if True:\n"),
    Mutation(
        "the other kind is not read before a creation",
        act.Act,
        "_create_run",
        "self._see_other_kind() or",
        "False or",
        eager=("_create_foreign",),
    ),
    Mutation("created while frozen", act.Act, "_frozen", "is not None", "is True", eager=("_freeze",)),
    Mutation(
        "a cancel is forgotten",
        cancelling,
        "cancel_asked",
        "or bool(asked(execution, ASK_CANCEL))",
        "",
        eager=("_cancel",),
    ),
    Mutation(
        "cancelled twice",
        cancelling,
        "cancel_running",
        "if asked_for is None:",
        "if asked_for is None or not run.cancelling:",
        eager=("_cancel",),
    ),
)
