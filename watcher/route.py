"""Which change of which object wants a pass of which execution. Pure: the clock is an argument.

One predicate for each resource, never one for all: a filter on generation would drop every end of a run, because
status changes do not touch it. Changes that only our own passes make are not routed.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from watcher.seen import BY_HAND, SeenExecution, SeenFreeze, SeenRun


def execution_changed(before: SeenExecution | None, after: SeenExecution) -> bool:
    """Say whether a live change of an execution wants a pass; what our own passes write does not."""
    if before is None or before.uid != after.uid:
        return True
    if (before.guarded and not after.guarded and not after.deleting) or forced(before, after):
        return True
    return (before.generation, before.deleting, before.asks) != (after.generation, after.deleting, after.asks)


def forced(before: SeenExecution, after: SeenExecution) -> bool:
    """Say whether somebody else wrote the status: our own ends come with their completionTime and their fact."""
    if not before.cleared and after.cleared == BY_HAND:
        return True
    if before.terminal and not after.terminal:
        return True
    if not after.terminal:
        return False
    if after.completed_at is None:
        return before.completed_at is not None or not before.terminal
    return not before.terminal and not after.facts_pending


def execution_listed(before: SeenExecution | None, after: SeenExecution, now: datetime, cooldown: timedelta) -> bool:
    """Say whether an execution found by a list wants a pass: unknown and not known to be finished, or changed."""
    if before is not None:
        return execution_changed(before, after)
    return not finished(after, now, cooldown)


def finished(execution: SeenExecution, now: datetime, cooldown: timedelta) -> bool:
    """Say whether nothing is left to do: ended, its facts acknowledged, its target's cooldown over."""
    if execution.deleting or not execution.terminal or execution.facts_pending:
        return False
    if not execution.attempted:
        return True  # it had ended before we ever wrote an attempt: not ours to repair
    return execution.completed_at is not None and execution.completed_at + cooldown < now


def run_changed(before: SeenRun | None, after: SeenRun) -> bool:
    """Say whether a change of a run wants a pass: its Succeeded condition moved, or it is being deleted.

    A run without a condition is one that a pass has just created.
    """
    if before is None or before.uid != after.uid:
        return after.deleting or after.outcome != ("", 0)
    return (before.deleting, before.outcome) != (after.deleting, after.outcome)


def freeze_changed(before: SeenFreeze | None, after: SeenFreeze) -> bool:
    """Say whether everything is frozen now and was not, or the other way round."""
    if before is None or before.uid != after.uid:
        return True
    return before.deleting != after.deleting
