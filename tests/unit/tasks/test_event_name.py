"""A Kubernetes Event is named after what it tells, so that the API server refuses to be told twice."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from models.actions import EmitEvent, EventReason
from models.keys import Key
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


@pytest.mark.parametrize("length", range(195, 206))
@pytest.mark.parametrize("odd", ["-", ".", "-.", "--"])
def test_name_is_one_that_the_api_server_takes_wherever_it_is_cut(length: int, odd: str) -> None:
    name = ("a" * length + odd).replace("-.", "--") + "b" * 20
    given = event_name(execution(key=Key("default", name)), RELEASED)
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", given), given
    assert len(given) <= 253
