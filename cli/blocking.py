"""Whether a failed execution keeps its target until somebody has looked. Pure."""

from __future__ import annotations

from models.policy import Policy
from models.status import Phase, Status


def blocks(status: Status, policy: Policy) -> bool:
    """Say whether an execution blocks its target: a task of it had started, it failed, and nobody has lifted that."""
    acted = status.phase is Phase.FAILED and status.failure is not None and status.failure.started
    lifted = status.clearance is not None or status.unlock is not None
    return policy.block_after_failure and acted and status.attempt > 0 and not lifted
