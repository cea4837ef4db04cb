"""What would become of an execution if it were declared now: the executor's own rules, on what is seen now. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from models.actions import CreateRun, PatchStatus
from models.decide import decide
from models.execution import Execution
from models.hold import Busy, Free, GateClosed, Mine
from models.instants import format_instant
from models.names import FINALIZER
from models.observed import Observed
from models.policy import Policy
from models.rules.cooldown import blocks, rest_until
from models.status import ConditionType, Phase, Status


class Outcome(StrEnum):
    """What becomes of it first."""

    STARTS = "Starts"
    WAITS = "Waits"
    SKIPPED = "Skipped"
    FAILS = "Fails"
    REFUSED = "Refused"
    EXISTS = "Exists"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Forecast:
    """What becomes of it, in a sentence without its full stop."""

    outcome: Outcome
    sentence: str

    @property
    def good(self) -> bool:
        """Whether it would run, now or later."""
        return self.outcome in (Outcome.STARTS, Outcome.WAITS, Outcome.EXISTS)


def forecast(execution: Execution, observed: Observed, now: datetime, policy: Policy) -> Forecast:
    """Let the rule book decide for an execution that is not there yet."""
    new = replace(execution, finalizers=(FINALIZER,), status=Status(), deleted_at=None)
    if isinstance(observed.hold, GateClosed):
        return Forecast(Outcome.WAITS, "it waits until the holds on targets are restored from the API server")
    if isinstance(observed.hold, Free):
        observed = replace(observed, hold=Mine(fence=1, since=now))
    for action in decide(new, observed, now, policy=policy):
        match action:
            case CreateRun():
                return Forecast(Outcome.STARTS, "it starts at once")
            case PatchStatus(status):
                return _told(status)
            case _:
                continue
    return Forecast(Outcome.WAITS, "it waits for what an earlier run of its target left behind")


def target_words(observed: Observed, waiting: int, now: datetime, policy: Policy) -> str:
    """Say how the target is: free, or held by whom, until when, and how many wait."""
    hold, holder = observed.hold, observed.holder
    line = f", {waiting} in line" if waiting else ""
    match hold:
        case GateClosed():
            return "unknown: the holds are being restored from the API server"
        case Free() | Mine():
            return "free"
        case Busy():
            pass
    if holder is None:
        return f"held by {hold.holder} since {format_instant(hold.since)}{line}"
    if blocks(holder.status, policy):
        clear = f'`wfe clear {holder.key.name} -n {holder.key.namespace} --reason "…"`'
        return f"blocked by the failed {holder.key}, to be cleared with {clear}{line}"
    until = rest_until(holder.status, policy)
    if until is not None and until > now:
        left = int((until - now).total_seconds())
        return f"rests until {format_instant(until)} (in {left}s) after {holder.key}{line}"
    return f"held by {holder.key} ({holder.status.phase}) since {format_instant(hold.since)}{line}"


def _told(status: Status) -> Forecast:
    locked = status.condition(ConditionType.LOCKED) or status.condition(ConditionType.CREATED)
    match status.phase:
        case Phase.SKIPPED:
            words = f": {status.skip.message}" if status.skip is not None else ""
            return Forecast(Outcome.SKIPPED, f"it is Skipped{words}")
        case Phase.FAILED:
            words = f" ({status.failure.reason}): {status.failure.message}" if status.failure is not None else ""
            return Forecast(Outcome.FAILS, f"it is Failed at once{words}")
        case Phase.RUNNING:
            return Forecast(Outcome.STARTS, "it takes over the run that is there")
        case Phase.PENDING | Phase.COMPLETED:
            words = f": {locked.message}" if locked is not None else ""
            return Forecast(Outcome.WAITS, f"it waits ({status.reason or 'for its target'}){words}")
