"""One pass: observe, then decide and act until nothing more is learnt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from models.decide import decide
from models.errors import Conflict, Permanent, Transient
from models.keys import Key
from models.policy import Policy
from tasks import clock
from tasks.passes.act import Act
from tasks.passes.ahead import ask_before_creation, look_ahead
from tasks.passes.observe import observe
from tasks.passes.telling import tell, trouble_event
from tasks.ports import Ports

MAX_DECISIONS = 12
"""A pass that still learns after so many decisions goes round in circles; the longest known path takes seven."""


@dataclass(frozen=True, slots=True)
class PassClock:
    """Redis TIME at the start of a pass, carried on by this machine's monotonic clock."""

    started_at: datetime
    monotonic_at_start: float

    @classmethod
    def starting(cls, at: datetime) -> PassClock:
        return cls(at, clock.monotonic())

    def now(self) -> datetime:
        return self.started_at + timedelta(seconds=clock.monotonic() - self.monotonic_at_start)


def run_pass(
    key: Key,
    started_at: datetime,
    policy: Policy,
    ports: Ports,
    draw_jitter: Callable[[], float],
    confirm_claim: Callable[[], None],
) -> datetime | None:
    """Bring one execution one step further; return when it wants the next look, None when only a change matters.

    `confirm_claim` raises Conflict when another pass of this key may have begun, which may have ended the execution,
    or let it go, since this one read it; it is asked before every write at the API server. All decisions of a pass are
    made at one instant: what is read depends on it, and a run that was not looked up because its cooldown had a
    millisecond left must not count as gone a millisecond later.

    Raises Transient and Conflict (the pass is repeated), and whatever a defect raises.
    """
    pass_clock = PassClock.starting(started_at)
    ahead = ports.aside(partial(look_ahead, key, ports))
    execution = ports.executions.get(key)
    if execution is None:
        confirm_claim()
        ports.kicker.wake(ports.holds.vanish(key, None))
        return None
    now = pass_clock.now()
    other_kind = ask_before_creation(execution, now, ports)
    try:
        observed = observe(execution, now, policy, ports, ahead)
    except Permanent as refused:
        tell(ports.executions, execution, trouble_event(execution, refused), now)
        raise
    # The hold may have been seen as early as the pass began.
    act = Act(execution, observed, policy, ports, pass_clock, started_at, confirm_claim, other_kind)
    try:
        return _go_round(act, now, policy, draw_jitter)
    except (Transient, Conflict):
        raise
    except Exception as trouble:
        act.tell_trouble(trouble)
        raise


def _go_round(act: Act, now: datetime, policy: Policy, draw_jitter: Callable[[], float]) -> datetime | None:
    for _ in range(MAX_DECISIONS):
        actions = decide(act.execution, act.observed, now, policy=policy, jitter=draw_jitter())
        if not act.all(actions):
            return act.wake_at
    # Their kinds only: what they say may quote a parameter, and this goes into the log.
    kinds = ", ".join(type(action).__name__ for action in actions)
    raise RuntimeError(f"{act.execution.key}: no end after {MAX_DECISIONS} decisions, last: {kinds}")
