"""A Kubernetes Event is named after what it tells, so that the API server refuses to be told twice."""

from __future__ import annotations

from dataclasses import replace

from models.actions import EmitEvent, EventReason
from tasks.adapters.executions import event_name
from tests.unit.rules.builders import execution

RELEASED = EmitEvent(EventReason.LOCK_RELEASED, "free", 1)


def test_later_pass_gives_the_same_fact_the_same_name() -> None:
    later = execution(resource_version="43", generation=2)
    assert event_name(execution(), RELEASED) == event_name(later, replace(RELEASED, message="free again"))


def test_another_execution_reason_or_attempt_has_another_name() -> None:
    others = [
        (execution(uid="9f9f"), RELEASED),
        (execution(), replace(RELEASED, reason=EventReason.COMPLETED)),
        (execution(), replace(RELEASED, attempt=2)),
    ]
    names = {event_name(each, event) for each, event in [(execution(), RELEASED), *others]}
    assert len(names) == 4
