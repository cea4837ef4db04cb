"""What an author, or whoever may write a status, puts into an object: nothing of it may break a pass."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from models.audit import pending_events
from models.audit_request import read_event
from models.decide import decide
from models.duration import parse_duration
from models.hold import LARGEST_FENCE
from models.instants import read_instant
from models.manifest import pipeline_run
from models.names import ANNOTATION_FENCE
from models.setting_groups import BackoffSettings
from models.status import Fact, FactType, Status
from models.status_document import status_document
from models.status_reading import read_status
from models.validation import find_fault
from tests.unit.rules.builders import (
    MINE,
    NOW,
    POLICY,
    execution,
    run,
    running,
    seen,
    spec,
)

EDGES = [
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59.9-01:00",
    "2026-01-01T00:00:00+99:99",
    "0001-01-01T00:00:00+12:00",
]


@pytest.mark.parametrize("text", EDGES)
def test_instant_nobody_can_reckon_with_reads_as_none(text: str) -> None:
    assert read_instant(text) is None


@pytest.mark.parametrize("text", EDGES)
def test_status_full_of_such_instants_still_gets_its_decision(text: str) -> None:
    condition = {"type": "Odd", "status": "True", "reason": "X", "message": "", "lastTransitionTime": text}
    written = {"phase": "Failed", "attempt": 1, "completionTime": text, "conditions": [condition]}
    assert decide(execution(read_status(written)), seen(MINE), NOW, policy=POLICY)


def test_condition_of_an_unknown_type_stays_as_it_is() -> None:
    since = "2026-01-01T00:00:00Z"
    foreign = {"type": "x.example/Odd", "status": "Unknown", "reason": "X", "message": "m", "lastTransitionTime": since}
    assert status_document(read_status({"conditions": [foreign]}))["conditions"] == [foreign]


@pytest.mark.parametrize(("written", "failures"), [(-5, 0), (2**31 - 1, 1_000_000), ("7", 0)])
def test_failures_somebody_wrote_are_brought_into_bounds(written: Any, failures: int) -> None:
    status = read_status({"consecutiveFailures": written, "attempt": 1})
    assert status.failures == failures
    assert execution(status).next_attempt < 2**31


@pytest.mark.parametrize("fence", [-1, LARGEST_FENCE + 1])
def test_fence_that_could_not_grow_is_no_fence(fence: int) -> None:
    assert read_status({"lock": {"fence": fence}}).fence is None
    assert run(annotations={ANNOTATION_FENCE: str(fence)}).fence is None


def test_event_of_the_longest_texts_is_one_that_datastorage_takes() -> None:
    long = "\x00" * 300_000
    big = execution(
        running(pending_facts=(Fact(FactType.STARTED, 1, NOW),)),
        spec=spec(target=f"ns/deployment/{long}", image=long, workflow_id=long, workflow_version=long),
    )
    (event,) = pending_events(big)
    read_event(event.body, now=NOW, new_id=_no_id)


def test_correlation_id_is_one_that_datastorage_takes() -> None:
    odd = execution(running(pending_facts=(Fact(FactType.STARTED, 1, NOW),)), spec=spec(remediation_name="\x00" * 300))
    read_event(pending_events(odd)[0].body, now=NOW, new_id=_no_id)


@pytest.mark.parametrize(("text", "given"), [("1us", 1), ("500ms", 1), ("1.2s", 2), ("90s", 90)])
def test_timeout_is_rounded_up_because_zero_is_endless(text: str, given: int) -> None:
    manifest = pipeline_run(execution(spec=spec(timeout=text)), 1, 7, POLICY)
    assert parse_duration(manifest["spec"]["timeouts"]["pipeline"]) == timedelta(seconds=given)


def test_run_has_no_owner_reference() -> None:
    """Its owner lives in another namespace: the garbage collector would take the run for an orphan and delete it."""
    assert "ownerReferences" not in pipeline_run(execution(), 1, 7, POLICY)["metadata"]


@pytest.mark.parametrize("text", ["0s" * 100_000, "1" * 5_000 + "h", "-" + "1h" * 100_000, "0." + "0" * 100_000 + "s"])
def test_endless_duration_text_is_refused_in_one_short_line(text: str) -> None:
    fault = find_fault(spec(timeout=text))
    assert fault is not None
    assert len(fault) < 300


def test_attempts_somebody_set_back_are_not_counted_twice() -> None:
    """Its fact and its Event would have the name of one that was told long ago."""
    assert execution(Status(attempt=3, failures=0)).next_attempt == 3
    assert execution(Status(attempt=3, failures=3)).next_attempt == 4


def test_all_facts_of_the_most_attempts_fit_into_the_status() -> None:
    """While DataStorage is away nothing is trimmed; the CRD takes 64."""
    most = next(n for n in range(200, 0, -1) if _allowed(n))
    status = Status().with_fact(FactType.QUEUED, 1, NOW)
    for attempt in range(1, most + 1):
        status = status.with_fact(FactType.STARTED, attempt, NOW).with_fact(FactType.RETRYING, attempt, NOW)
    assert len(status.with_fact(FactType.FAILED, most, NOW).pending_facts) <= 64


def _allowed(attempts: int) -> bool:
    kind = BackoffSettings.__dataclass_fields__["max_consecutive_failures"].metadata["kind"]
    try:
        kind.read(attempts)
    except ValueError:
        return False
    return True


def _no_id() -> Any:
    raise AssertionError("every event brings its own id")
