"""Events that may not have been told are told again under the same name: same reason, same attempt."""

from __future__ import annotations

import pytest

from models.actions import Action, BufferFacts, EmitEvent, EventReason, PatchStatus, ReleaseTarget, WakeLine
from models.decide import decide
from models.execution import ConcurrencyPolicy, Execution
from models.failure import refusal
from models.names import ASK_CANCEL, ASK_CLEAR
from models.observed import Observed
from models.policy import Policy
from models.retell import EVENT_OF, retold
from models.status import Fact, FactType, FailureDetails, FailureReason, Phase, Status
from tasks.passes.telling import events_first
from tests.unit.rules.builders import (
    BUSY,
    MINE,
    NOW,
    POLICY,
    ended,
    execution,
    failed,
    failed_task,
    run,
    running,
    seen,
    spec,
    status_of,
    succeeded,
)

ONCE = Policy(max_failures=1)
BLOCKING = ended(
    Phase.FAILED,
    failure=FailureDetails(
        reason=FailureReason.TASK_FAILED, message="exit 3", failed_at=NOW, summary="Task failed.", started=True
    ),
)
REFUSED = refusal("Forbidden", "exceeded quota")


@pytest.mark.parametrize(
    ("before", "observed", "policy"),
    [
        (execution(), seen(MINE, run=run()), POLICY),
        (execution(running()), seen(MINE, run=succeeded()), POLICY),
        (execution(running()), seen(MINE, run=failed(), task_runs=(failed_task(),)), POLICY),
        (execution(running()), seen(MINE, run=None), POLICY),
        (execution(), seen(MINE, refusal=REFUSED), POLICY),
        (execution(), seen(MINE, refusal=REFUSED), ONCE),
        (execution(Status(attempt=1, failures=1, next_allowed=NOW)), seen(MINE, refusal=REFUSED), POLICY),
        (execution(), seen(BUSY), POLICY),
        (execution(spec=spec(target="nonsense")), seen(MINE), POLICY),
        (execution(spec=spec(concurrency=ConcurrencyPolicy.SKIP)), seen(BUSY, holder=execution(running())), POLICY),
        (execution(annotations={ASK_CANCEL: "wrong target"}), seen(MINE), POLICY),
        (execution(running(), annotations={ASK_CANCEL: "wrong target"}), seen(MINE, run=run()), POLICY),
        (execution(BLOCKING, annotations={ASK_CLEAR: "looked at it"}), seen(MINE), POLICY),
    ],
)
def test_a_found_fact_is_told_as_its_writer_would_have(before: Execution, observed: Observed, policy: Policy) -> None:
    actions = decide(before, observed, NOW, policy=policy)
    written = status_of(actions)
    told = {(a.reason, a.attempt) for a in actions if isinstance(a, EmitEvent)}
    again = retold(execution(written, spec=before.spec), written.pending_facts, policy)
    assert told
    assert {(event.reason, event.attempt) for event in again} == told
    assert all(event.message for event in again)


def test_an_earlier_attempt_does_not_borrow_the_words_of_a_later_one() -> None:
    facts = (Fact(FactType.STARTED, 1, NOW), Fact(FactType.STARTED, 2, NOW))
    status = status_of(decide(execution(), seen(MINE, run=run()), NOW, policy=POLICY))
    first, second = retold(execution(running(attempt=2, conditions=status.conditions)), facts, POLICY)
    assert (first.message, first.attempt) == ("attempt 1", 1)
    assert "PipelineRun wfe-" in second.message


def test_every_fact_has_its_event_but_the_one_that_another_event_tells() -> None:
    assert set(FactType) - set(EVENT_OF) == {FactType.UNLOCKED}


def test_events_are_told_before_their_facts_are_buffered() -> None:
    patch, told, free = PatchStatus(Status()), EmitEvent(EventReason.COMPLETED, "", 1), ReleaseTarget(7)
    actions: tuple[Action, ...] = (patch, BufferFacts(), told, free, WakeLine())
    assert tuple(events_first(actions)) == (patch, told, BufferFacts(), free, WakeLine())
    for plain in ((patch, BufferFacts(), WakeLine()), (told, free), (told, BufferFacts()), ()):
        assert tuple(events_first(plain)) == plain
