"""Why an execution ended as it did, and what follows from it. Pure."""

from __future__ import annotations

from cli.asks import arguments
from cli.explanation import Explanation, World, describe_run
from models.execution import Execution
from models.status import FailureDetails, FailureReason, Phase


def ended(execution: Execution, world: World) -> Explanation:
    """Explain an end."""
    status, audit = execution.status, f"`wfe audit {arguments(execution.key)}` tells the whole story"
    if status.phase is Phase.COMPLETED:
        after = f" after {status.duration}" if status.duration else ""
        return Explanation(f"it completed{after}: run {status.run_name} succeeded", audit)
    if status.phase is Phase.SKIPPED and status.skip is not None:
        again = "its policy is Skip: apply it again under another name, or with concurrencyPolicy Wait"
        return Explanation(f"it was skipped ({status.skip.reason}): {status.skip.message}", again)
    failure = status.failure
    if failure is None:
        return Explanation(f"it was {status.phase.value.lower()} ({status.reason or 'no reason recorded'})", audit)
    if failure.reason is FailureReason.CONFIGURATION_ERROR and not status.run_name:
        again = f"`kubectl delete wfe {arguments(execution.key)}`, correct it and apply it again: a spec cannot change"
        return Explanation(f"its spec is invalid: {failure.message}", again)
    if status.cancellation is not None:
        told = f"it was cancelled by {status.cancellation.by}: {status.cancellation.reason}"
    else:
        told = _failed(failure)
    if world.blocks:
        clear = f'look at the target, then `wfe clear {arguments(execution.key)} --reason "…"`'
        return Explanation(f"{told.rstrip('.')}; it blocks {execution.spec.target} until somebody clears it", clear)
    return Explanation(told, describe_run(execution, world) if world.run is not None else audit)


def _failed(failure: FailureDetails) -> str:
    place = ", ".join(
        word
        for word in (
            f"task {failure.task_name}" if failure.task_name else "",
            f"step {failure.step_name}" if failure.step_name else "",
            f"exit code {failure.exit_code}" if failure.exit_code is not None else "",
        )
        if word
    )
    return f"it failed ({failure.reason.value}{f'; {place}' if place else ''}): {failure.summary or failure.message}"
