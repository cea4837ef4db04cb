"""Frozen: nothing new starts, with the target kept; everything else goes on. And what the audit says of a freeze."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from models.actions import CreateRun, PatchStatus, WakeAt
from models.audit_request import read_event
from models.decide import decide
from models.execution import Engine
from models.freeze import Freeze, freeze_document, read_freeze, unfreeze_patch
from models.freeze_audit import freeze_event, unfreeze_event
from models.names import ASK_CANCEL
from models.status import ConditionType, Phase, Status, WaitReason
from tests.unit.rules.builders import (
    BUSY,
    MINE,
    NOW,
    POLICY,
    events_of,
    execution,
    run,
    running,
    seen,
    spec,
    status_of,
    succeeded,
)

FROZEN = Freeze("migration", "alice", NOW)
REFUSED = running(failures=1, next_allowed=NOW - timedelta(seconds=1))


@pytest.mark.parametrize("engine", list(Engine))
@pytest.mark.parametrize("status", [Status(), Status(attempt=1, failures=1, fence=7), REFUSED])
def test_first_and_further_attempts_wait_with_their_target(status: Status, engine: Engine) -> None:
    waiting = execution(status, spec=spec(engine=engine))
    assert decide(waiting, seen(MINE), NOW, policy=POLICY) == (CreateRun(status.failures + 1, 7),)
    actions = decide(waiting, seen(MINE, frozen=FROZEN), NOW, policy=POLICY)
    written = status_of(actions)
    assert (written.reason, written.phase, events_of(actions)) == (WaitReason.FROZEN, status.phase, [])
    assert actions[-1] == WakeAt(NOW + timedelta(seconds=30))
    again = decide(execution(written, spec=spec(engine=engine)), seen(MINE, frozen=FROZEN), NOW, policy=POLICY)
    assert not any(isinstance(action, PatchStatus | CreateRun) for action in again), "written once"


def test_who_stood_in_line_stands_there_no_more() -> None:
    """With its target, it waits for the end of the freeze; put back in line, it has been told as queued already."""
    stood = status_of(decide(execution(), seen(BUSY), NOW, policy=POLICY))
    assert stood.queue is not None
    assert stood.queue.position == 1
    frozen = status_of(decide(execution(stood), seen(MINE, frozen=FROZEN), NOW, policy=POLICY))
    assert frozen.queue == replace(stood.queue, position=0, holder="")
    again = decide(execution(frozen), seen(replace(BUSY, position=2)), NOW, policy=POLICY)
    told = status_of(again)
    assert told.queue == replace(stood.queue, position=2)
    assert told.reason == WaitReason.TARGET_BUSY
    assert told.pending_facts == stood.pending_facts
    assert events_of(again) == []


def test_a_run_that_was_created_is_adopted_and_what_runs_ends() -> None:
    assert status_of(decide(execution(), seen(MINE, run=run(), frozen=FROZEN), NOW, policy=POLICY)).reason == ""
    done = decide(execution(running()), seen(MINE, run=succeeded(), frozen=FROZEN), NOW, policy=POLICY)
    assert status_of(done).phase is Phase.COMPLETED


def test_a_frozen_one_can_be_cancelled_and_started() -> None:
    frozen = status_of(decide(execution(), seen(MINE, frozen=FROZEN), NOW, policy=POLICY))
    assert frozen.condition(ConditionType.LOCKED) is None
    cancelled = decide(execution(frozen, annotations={ASK_CANCEL: "x"}), seen(MINE), NOW, policy=POLICY)
    assert status_of(cancelled).phase is Phase.FAILED
    assert decide(execution(frozen), seen(MINE), NOW, policy=POLICY) == (CreateRun(1, 7),)
    assert status_of(decide(execution(frozen), seen(MINE, run=run()), NOW, policy=POLICY)).reason == ""


def stored(**changes: Any) -> dict[str, Any]:
    document = freeze_document("migration", "alice", "kubernaut-system")
    document["metadata"] |= {"uid": "f-1", "creationTimestamp": "2026-05-04T11:59:00Z", "resourceVersion": "7"}
    document["metadata"] |= changes
    return document


def test_the_object_reads_as_a_freeze_until_it_is_deleted() -> None:
    assert read_freeze(stored()) == Freeze("migration", "alice", NOW - timedelta(minutes=1), "f-1")
    assert read_freeze(stored(deletionTimestamp="2026-05-04T12:00:00Z")) is None
    assert read_freeze(None) is None
    bare = {"metadata": {"uid": "f-2", "creationTimestamp": "2026-05-04T11:59:00Z"}}
    assert read_freeze(bare) == Freeze("no reason given", "unknown", NOW - timedelta(minutes=1), "f-2")


def test_datastorage_takes_both_events_and_they_name_who_acted() -> None:
    document = stored()
    document["metadata"]["annotations"] |= unfreeze_patch("bob")["metadata"]["annotations"]
    frozen, unfrozen = freeze_event(document, verified=True), unfreeze_event(document, NOW, verified=False)
    for event in (frozen, unfrozen):
        read_event(event.body, now=NOW, new_id=lambda: pytest.fail("the id is ours"))
    assert [frozen.body["actor_id"], unfrozen.body["actor_id"]] == ["alice", "unverified:bob"]
    assert [frozen.body["event_type"], unfrozen.body["event_type"]] == ["workflow.frozen", "workflow.unfrozen"]
    assert frozen.event_id != unfrozen.event_id
    assert freeze_event(stored(), verified=True).encoded() == frozen.encoded(), "the end does not change the beginning"
    nobody = unfreeze_event(stored(annotations={}), NOW, verified=True)
    assert nobody.body["actor_id"] == "unverified:unknown"
