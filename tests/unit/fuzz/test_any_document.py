"""Whatever the CRD accepts, in spec and status: every pure part of a pass takes it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.actions import Action, CreateRun, EmitEvent, PatchStatus
from models.audit import pending_events
from models.decide import decide
from models.duration import parse_duration
from models.execution import Execution, read_execution
from models.failure import refusal
from models.hold import Busy, Free, GateClosed
from models.manifest import pipeline_run
from models.names import ANNOTATION_UID
from models.observed import Observed
from models.restore import restore
from models.retell import retold
from models.run import Ownership
from models.status import FailureReason, Phase
from models.status_document import status_document, status_patch
from models.status_reading import read_status
from models.validation import find_fault
from tests.unit.fuzz.from_schema import executions
from tests.unit.rules.builders import BUSY, MINE, NOW, POLICY, failed, failed_task, run, seen, succeeded
from watcher.seen import WAITS, see_execution

HOLDS = (Free(), MINE, BUSY, Busy(BUSY.holder, BUSY.holder_uid, BUSY.since, 0), GateClosed())
RUNS = (None, run(), succeeded(), failed(), failed("Couldn'tGetPipeline"), run(owner="another"), run(owner=""))

observations = st.builds(
    lambda hold, found, refused, engine, lives, left: seen(
        hold,
        run=found,
        task_runs=(failed_task(),) if found is not None and found.succeeded is False else (),
        refusal=refusal("Forbidden", "exceeded quota") if refused else None,
        engine_available=engine,
        run_owner_lives=lives,
        remains=left,
    ),
    st.sampled_from(HOLDS),
    st.sampled_from(RUNS),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2),
)


@settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(document=executions(), observed=observations)
def test_a_pass_takes_it(document: dict[str, Any], observed: Observed) -> None:
    execution = read_execution(document)
    slim = see_execution(document)
    assert slim.wait in WAITS
    if observed.run is not None and ANNOTATION_UID in observed.run.annotations:
        assert isinstance(observed.run.ownership(execution), Ownership)
    restore([execution], [observed.run] if observed.run is not None else [], NOW, POLICY)
    actions = decide(execution, observed, NOW, policy=POLICY)
    assert actions == decide(execution, observed, NOW, policy=POLICY)
    for action in actions:
        _carry_out(execution, action)


def _carry_out(execution: Execution, action: Action) -> None:
    match action:
        case CreateRun(attempt=attempt, fence=fence):
            _created(execution, attempt, fence)
        case PatchStatus(status=status):
            assert json.dumps(status_patch(execution.status, status))
            again = read_status(json.loads(json.dumps(status_document(status))))
            assert (again.phase, again.attempt, again.failures) == (status.phase, status.attempt, status.failures)
            assert max(status.attempt, status.failures) < 2**31, "the CRD's int32"
            assert not execution.status.phase.terminal or again.phase is execution.status.phase
            told = replace(execution, status=again)
            assert all(event.encoded() for event in pending_events(told))
            assert all(isinstance(event.message, str) for event in retold(told, again.pending_facts, POLICY))
        case EmitEvent(message=message):
            assert isinstance(message, str)
        case _:
            return


def _created(execution: Execution, attempt: int, fence: int) -> None:
    """A run is created for nothing that validation refuses, and always with an end."""
    assert find_fault(execution.spec) is None or execution.status.phase is Phase.RUNNING
    if find_fault(execution.spec) is not None:
        return
    manifest = pipeline_run(execution, attempt, fence, POLICY)
    assert parse_duration(manifest["spec"]["timeouts"]["pipeline"]).total_seconds() >= 1
    for value in manifest["metadata"]["labels"].values():
        assert len(value) <= 63
        assert value.isascii()


@settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(document=executions())
def test_what_is_refused_ends_at_once_as_a_configuration_error(document: dict[str, Any]) -> None:
    document = {**document, "status": {}}
    document["metadata"].pop("deletionTimestamp", None)
    execution = read_execution(document)
    if not execution.guarded or find_fault(execution.spec) is None:
        return
    (patch,) = (a for a in decide(execution, seen(Free()), NOW, policy=POLICY) if isinstance(a, PatchStatus))
    assert patch.status.phase is Phase.FAILED
    assert patch.status.failure is not None
    assert patch.status.failure.reason is FailureReason.CONFIGURATION_ERROR
    assert not patch.status.failure.started


@pytest.mark.parametrize("junk", [None, 1, "x", [], {}, {"metadata": 3}, {"metadata": {}, "status": []}])
def test_the_watch_survives_what_is_no_execution_at_all(junk: Any) -> None:
    assert see_execution(junk if isinstance(junk, dict) else {"metadata": junk, "status": junk}).wait in WAITS
