"""What the operator configured, as far as a decision needs it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from models.execution import ConcurrencyPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The settings a pass decides by; defaults are the contract's (CONTRACT 8)."""

    namespace: str = "kubernaut-workflows"
    service_account: str = "kubernaut-workflow-runner"
    cooldown: timedelta = timedelta(minutes=5)
    default_timeout: timedelta = timedelta(minutes=30)
    cancel_timeout: timedelta = timedelta(seconds=60)
    concurrency: ConcurrencyPolicy = ConcurrencyPolicy.WAIT
    block_after_failure: bool = True
    backoff_base: timedelta = timedelta(seconds=30)
    backoff_cap: timedelta = timedelta(minutes=15)
    backoff_multiplier: float = 2.0
    backoff_jitter: float = 0.1
    max_failures: int = 5


def backoff(failures: int, policy: Policy, jitter: float) -> timedelta:
    """Return how long to wait after the n-th failure in a row (n from 1).

    `jitter` is drawn by the caller from [-1, 1]; it moves the wait by at most the configured share and never above
    the cap.
    """
    try:
        factor = policy.backoff_multiplier ** (failures - 1)
        wait = min(policy.backoff_base * factor, policy.backoff_cap)
    except OverflowError:
        wait = policy.backoff_cap
    return min(wait * (1 + jitter * policy.backoff_jitter), policy.backoff_cap)
