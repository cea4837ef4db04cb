"""What a person can ask of an execution, and what stands in the way. Pure.

An ask is an annotation with the reason as its value, signed by another that names who asks (deploy/admission.yaml makes
the signature true). The executor records in the status that it has seen one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from cli.errors import CommandError, UsageError
from models import names
from models.execution import Execution
from models.instants import format_instant
from models.keys import Key
from models.names import ASK_CANCEL, ASK_CLEAR, ASK_UNLOCK, REQUESTED_BY
from models.policy import Policy
from models.rules.cooldown import blocks
from models.status import Clearance, Phase, Request, Status

REASON_MAX: Final = 1024
"""Characters; the executor records no more."""

_BLOCKING: Final = Policy()
"""Where a failure blocks its target, as it does unless the settings say otherwise."""

_ASKS: Final = {ASK_CANCEL: "cancel", ASK_CLEAR: "clear its block", ASK_UNLOCK: "unlock its target"}


@dataclass(frozen=True, slots=True)
class Standing:
    """An ask that the executor has not recorded yet."""

    annotation: str
    reason: str
    by: str


def checked_reason(text: str) -> str:
    """Return a reason fit to be recorded. Raises UsageError."""
    reason = " ".join(text.split())
    if not 0 < len(reason) <= REASON_MAX:
        raise UsageError(f"--reason: allowed is a text of 1 to {REASON_MAX} characters, for whoever reads the audit")
    return reason


def standing(execution: Execution, policy: Policy = _BLOCKING) -> tuple[Standing, ...]:
    """Return the asks that the executor will still answer."""
    by = execution.annotations.get(REQUESTED_BY) or "somebody"
    return tuple(
        Standing(annotation, execution.annotations[annotation], by)
        for annotation in _open(execution)
        if not _too_late(execution.status, annotation, policy)
    )


def _open(execution: Execution) -> list[str]:
    """Return the asks that nobody has recorded."""
    status, given = execution.status, execution.annotations
    return [annotation for annotation in _ASKS if given.get(annotation) and recorded(status, annotation) is None]


def _too_late(status: Status, annotation: str, policy: Policy) -> bool:
    """Say whether the executor will never answer an ask: what it is about was over first."""
    match annotation:
        case names.ASK_CANCEL:
            return status.phase.terminal
        case names.ASK_CLEAR:
            return status.phase.terminal and not blocks(status, policy)
        case _:
            return False


def recorded(status: Status, annotation: str) -> Request | Clearance | None:
    """Return what the executor recorded of an ask."""
    records = {ASK_CANCEL: status.cancellation, ASK_CLEAR: status.clearance, ASK_UNLOCK: status.unlock}
    return records[annotation]


def already(execution: Execution, annotation: str, policy: Policy = _BLOCKING) -> str:
    """Say that this was asked before, whoever did; empty when it was not."""
    done = recorded(execution.status, annotation)
    if done is not None:
        at = f" at {format_instant(done.at)}" if done.at is not None else ""
        return f"{done.by} has asked to {_ASKS[annotation]} already{at}: {done.reason}"
    same = next((ask for ask in standing(execution, policy) if ask.annotation == annotation), None)
    if same is None:
        return ""
    return f"{same.by} has asked to {_ASKS[annotation]} already, the executor has not answered yet: {same.reason}"


def ask_patch(
    execution: Execution, annotation: str, reason: str, user: str, policy: Policy = _BLOCKING
) -> dict[str, Any]:
    """Return the merge patch that asks, for exactly this object; asks that came too late go with it.

    Raises:
        CommandError: it would sign what others have asked.
    """
    others = [ask for ask in standing(execution, policy) if ask.annotation != annotation and ask.by != user]
    if others:
        ask = others[0]
        raise CommandError(
            f"{ask.by} has asked to {_ASKS[ask.annotation]} ({ask.reason}) and the executor has not answered yet; to "
            f"withdraw that in your name: `kubectl annotate wfe {arguments(execution.key)} --overwrite "
            f"{ask.annotation}- {REQUESTED_BY}={user}`"
        )
    late = {each: None for each in _open(execution) if _too_late(execution.status, each, policy)}
    return {"metadata": {"uid": execution.uid, "annotations": {**late, annotation: reason, REQUESTED_BY: user}}}


def refuse_cancel(execution: Execution) -> None:
    """Raise CommandError when there is nothing left to cancel."""
    if execution.status.phase.terminal:
        raise CommandError(f"{execution.key} has ended ({execution.status.phase}): there is nothing to cancel")
    if execution.deleted_at is not None:
        raise CommandError(f"{execution.key} is being deleted: its run is removed anyhow")


def refuse_clear(execution: Execution, policy: Policy) -> None:
    """Raise CommandError when the execution blocks nothing."""
    status = execution.status
    if blocks(status, policy):
        return
    why = f"it is {status.phase}"
    if status.phase is Phase.FAILED:
        why = "no task of it had started when it failed"
        if status.failure is not None and status.failure.started:
            why = (
                "its hold was forced open (unlock)"
                if status.unlock
                else "execution.block_after_execution_failure is off"
            )
    raise CommandError(f"{execution.key} does not block its target: {why}")


def refuse_unlock(execution: Execution) -> None:
    """Raise CommandError for an execution that has not ended: its run would go on while another starts."""
    if execution.status.phase.terminal:
        return
    cancel = f'`wfe cancel {arguments(execution.key)} --reason "…"`'
    raise CommandError(f"{execution.key} has not ended (it is {execution.status.phase}); cancel it first: {cancel}")


def arguments(key: Key) -> str:
    """Return a key as the arguments of a command."""
    return f"{key.name} -n {key.namespace}"
