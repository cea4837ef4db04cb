"""What `wfe plan` says: the rule book's own answer for an execution that is not there yet."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cli.forecast import Outcome, forecast, target_words
from models.execution import ConcurrencyPolicy, Execution
from models.freeze import Freeze
from models.hold import Busy, Free, GateClosed
from models.observed import Observed
from models.policy import Policy
from tests.unit.cli.objects import NOW, execution, later

POLICY = Policy()


def wanting(policy: ConcurrencyPolicy | None = None, target: str = "default/deployment/web") -> Execution:
    new = execution("new", finalizers=[])
    return replace(new, spec=replace(new.spec, concurrency=policy, target=target))


def busy(holder: Execution) -> Observed:
    return Observed(hold=Busy(holder.key, holder.uid, later(-30), 1), holder=holder)


RUNNING = execution("first", status={"phase": "Running", "attempt": 1, "startTime": "2026-03-01T11:59:30Z"})
ENDED = execution(
    "first",
    status={
        "phase": "Completed",
        "attempt": 1,
        "completionTime": "2026-03-01T11:59:50Z",
        "pipelineRunRef": {"name": "wfe-0123456789abcdef"},
    },
)
BROKEN = execution(
    "first",
    status={
        "phase": "Failed",
        "attempt": 1,
        "completionTime": "2026-03-01T10:00:00Z",
        "pipelineRunRef": {"name": "wfe-0123456789abcdef"},
        "failureDetails": {
            "reason": "TaskFailed",
            "failedAt": "2026-03-01T10:00:00Z",
            "wasExecutionFailure": True,
        },
    },
)


@pytest.mark.parametrize(
    ("observed", "policy", "outcome", "said"),
    [
        (Observed(hold=Free()), None, Outcome.STARTS, "it starts at once"),
        (busy(RUNNING), None, Outcome.WAITS, "TargetResourceBusy"),
        (busy(ENDED), None, Outcome.WAITS, "RecentlyRemediated"),
        (busy(BROKEN), None, Outcome.WAITS, "PreviousExecutionFailed"),
        (busy(RUNNING), ConcurrencyPolicy.SKIP, Outcome.SKIPPED, "default/first"),
        (busy(RUNNING), ConcurrencyPolicy.FAIL, Outcome.FAILS, "Race condition"),
        (Observed(hold=Free(), frozen=Freeze("migration", "alice", NOW)), None, Outcome.WAITS, "Frozen"),
        (Observed(hold=Free(), engine_available=False), None, Outcome.WAITS, "EngineUnavailable"),
        (Observed(hold=Free(), remains=1), None, Outcome.WAITS, "still being removed"),
        (Observed(hold=GateClosed()), None, Outcome.WAITS, "restored from the API server"),
    ],
)
def test_the_rules_say_what_would_happen(
    observed: Observed, policy: ConcurrencyPolicy | None, outcome: Outcome, said: str
) -> None:
    told = forecast(wanting(policy), observed, NOW, POLICY)
    assert (told.outcome, told.good) == (outcome, outcome in (Outcome.STARTS, Outcome.WAITS))
    assert said in told.sentence


def test_an_invalid_spec_fails_at_once() -> None:
    told = forecast(wanting(target="web"), Observed(hold=Free()), NOW, POLICY)
    assert told.outcome is Outcome.FAILS
    assert "ConfigurationError" in told.sentence


@pytest.mark.parametrize(
    ("observed", "said"),
    [
        (Observed(hold=Free()), "free"),
        (busy(RUNNING), "held by default/first (Running) since 2026-03-01T11:59:30Z, 2 in line"),
        (busy(ENDED), "rests until 2026-03-01T12:04:50Z (in 290s) after default/first, 2 in line"),
        (busy(BROKEN), "blocked by the failed default/first, to be cleared with `wfe clear first -n default"),
        (Observed(hold=GateClosed()), "unknown"),
    ],
)
def test_the_target_is_told(observed: Observed, said: str) -> None:
    assert target_words(observed, 2, NOW, POLICY).startswith(said)
