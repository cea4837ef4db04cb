"""An audit event is the same whoever derives it, whenever."""

from __future__ import annotations

import json
from dataclasses import replace

from models.audit import event_id, pending_events
from models.decide import decide
from models.instants import format_instant
from models.status import Fact, FactType, Phase
from tests.unit.rules.builders import MINE, NOW, POLICY, UID, ended, execution, running, seen, status_of, succeeded

STARTED = Fact(FactType.STARTED, 1, NOW)


def test_ids_tell_execution_type_and_attempt_apart() -> None:
    ids = {event_id(uid, kind, attempt) for uid in ("a", "b") for kind in FactType for attempt in (1, 2)}
    assert len(ids) == 2 * len(FactType) * 2


def test_a_start_tells_the_same_after_the_end() -> None:
    early = pending_events(execution(replace(running(), pending_facts=(STARTED,))))
    late = pending_events(execution(replace(ended(Phase.FAILED), failures=3, pending_facts=(STARTED,))))
    assert early[0].encoded() == late[0].encoded()


def test_end_tells_the_end() -> None:
    status = replace(ended(), duration="6s", pending_facts=(Fact(FactType.COMPLETED, 2, NOW),))
    assert status.completed_at is not None
    body = json.loads(pending_events(execution(status))[0].encoded())
    assert body["event_id"] == event_id(UID, FactType.COMPLETED, 2)
    assert (body["event_action"], body["event_outcome"]) == ("completed", "success")
    assert body["event_data"]["attempt"] == 2
    assert body["event_data"]["duration"] == "6s"
    assert body["event_timestamp"] == format_instant(NOW)
    assert body["event_data"]["completed_at"] == format_instant(status.completed_at)
    assert body["correlation_id"] == "again"


def test_correlation_prefers_the_label() -> None:
    labelled = execution(replace(running(), pending_facts=(STARTED,)), labels={"kubernaut.ai/correlation-id": "rr-1"})
    assert pending_events(labelled)[0].body["correlation_id"] == "rr-1"


def test_every_end_is_written_together_with_its_fact() -> None:
    ends = {
        FactType.COMPLETED: decide(execution(running()), seen(MINE, run=succeeded()), NOW, policy=POLICY),
        FactType.FAILED: decide(execution(running()), seen(MINE), NOW, policy=POLICY),
    }
    for kind, actions in ends.items():
        assert kind in {fact.type for fact in status_of(actions).pending_facts}
