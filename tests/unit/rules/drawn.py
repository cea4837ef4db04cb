"""Executions and observations of every shape, drawn by hypothesis: also such as only a hostile hand could write."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import strategies as st

from models.execution import ConcurrencyPolicy, Engine, Execution
from models.failure import refusal
from models.freeze import Freeze
from models.hold import Busy, Free, GateClosed, HoldView, Mine
from models.keys import Key
from models.names import ASK_CANCEL, ASK_CLEAR, ASK_UNLOCK, FINALIZER, REQUESTED_BY
from models.observed import Observed
from models.policy import Policy
from models.run import Run
from models.status import (
    Clearance,
    ClearMethod,
    Fact,
    FactType,
    FailureDetails,
    FailureReason,
    Phase,
    QueuePlace,
    Request,
    Status,
    WaitReason,
)
from models.target import run_name
from models.task_run import TaskRun
from tests.unit.rules.builders import BORN, NOW, POLICY, TARGET, UID, execution, failed_task, run, seen, spec

OTHER = "9f9f"
HOLDER = Key("default", "restart")
NEVER_RAN = TaskRun(name="t", pipeline_task="act", index=0, succeeded=False, reason="TaskRunImagePullFailed")

INSTANTS = [NOW + timedelta(seconds=seconds) for seconds in (-900, -300, -10, 0, 1, 30)]
AT = [None, *INSTANTS]
REASONS = ["", "looked at"]
REQUESTS = [*[None] * 6, *(Request(at=NOW, by=by, reason="because") for by in ("ann", "unverified:ann"))]
CLEARANCES = [
    *[None] * 7,
    *(Clearance(at=NOW, by="ann", reason="because", method=method) for method in ClearMethod),
    Clearance(at=None, by="ann", reason="because", method=ClearMethod.STATUS_FIELD),
    Clearance(at=NOW, by="", reason="", method=ClearMethod.STATUS_FIELD),
]
FAILURES = [
    None,
    *(
        FailureDetails(reason=FailureReason.TASK_FAILED, message="m", failed_at=NOW, summary="s", started=started)
        for started in (True, True, False)
    ),
]
PLACES = [None, *(QueuePlace(position, str(HOLDER), NOW) for position in (0, 1, 3))]
FACTS: list[tuple[Fact, ...]] = [
    (),
    (),
    *((Fact(kind, attempt, NOW),) for kind in FactType for attempt in (1, 2)),
    (Fact(FactType.STARTED, 1, NOW), Fact(FactType.FAILED, 1, NOW)),
]
ASKS: list[dict[str, str]] = [
    {},
    {},
    *({ask: reason, REQUESTED_BY: "ann"} for ask in (ASK_CANCEL, ASK_CLEAR, ASK_UNLOCK) for reason in REASONS),
    {ASK_CLEAR: "looked at", ASK_UNLOCK: "looked at"},
]

policies = st.builds(
    Policy,
    concurrency=st.sampled_from(ConcurrencyPolicy),
    block_after_failure=st.booleans(),
    max_failures=st.sampled_from([1, 5]),
    cooldown=st.sampled_from([timedelta(0), POLICY.cooldown]),
)
any_phase = st.sampled_from(Phase)
terminal = st.sampled_from([phase for phase in Phase if phase.terminal])
not_terminal = st.sampled_from([phase for phase in Phase if not phase.terminal])


def statuses(phases: st.SearchStrategy[Phase] = any_phase) -> st.SearchStrategy[Status]:
    """Draw a status, consistent or not."""
    return st.builds(
        Status,
        phase=phases,
        reason=st.sampled_from(["", *WaitReason]),
        attempt=st.sampled_from([0, 1, 1, 2, 5]),
        started_at=st.sampled_from(AT),
        completed_at=st.sampled_from(AT),
        run_name=st.sampled_from(["", run_name(TARGET)]),
        failures=st.sampled_from([0, 0, 1, 5]),
        next_allowed=st.sampled_from(AT),
        failure=st.sampled_from(FAILURES),
        pending_facts=st.sampled_from(FACTS),
        queue=st.sampled_from(PLACES),
        fence=st.sampled_from([None, 7]),
        clearance=st.sampled_from(CLEARANCES),
        cancellation=st.sampled_from(REQUESTS),
        unlock=st.sampled_from([None, *REQUESTS]),
    )


@st.composite
def executions(draw: st.DrawFn, phases: st.SearchStrategy[Phase] = any_phase) -> Execution:
    """Draw the execution that a pass is about."""
    return execution(
        draw(statuses(phases)),
        annotations=draw(st.sampled_from(ASKS)),
        deleted_at=draw(st.sampled_from([None, None, None, NOW, NOW - timedelta(minutes=2)])),
        finalizers=draw(st.sampled_from([(FINALIZER,), (FINALIZER,), ()])),
        spec=spec(
            target=draw(st.sampled_from([TARGET, TARGET, TARGET, "nothing"])),
            concurrency=draw(st.sampled_from([None, *ConcurrencyPolicy])),
            engine=draw(st.sampled_from(Engine)),
        ),
    )


HOLDS: list[HoldView] = [
    GateClosed(),
    Free(),
    *(Mine(7, NOW, suspect) for suspect in (True, False)),
    *[Mine(8, NOW)] * 4,
    *(Busy(HOLDER, OTHER, NOW, position) for position in (0, 1, 3)),
]


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """Draw what stands under the run's name."""
    return run(
        owner=draw(st.sampled_from([UID, UID, OTHER, ""])),
        attempt=draw(st.sampled_from([1, 2, 6])),
        deleting=draw(st.booleans()),
        succeeded=draw(st.sampled_from([None, True, False])),
        reason=draw(st.sampled_from(["Failed", "CouldntGetPipeline", "Cancelled", "PipelineRunTimeout"])),
        started_at=draw(st.sampled_from(AT)),
        ended_at=draw(st.sampled_from(AT)),
    )


@st.composite
def observations(draw: st.DrawFn) -> Observed:
    """Draw what a pass can have seen."""
    hold = draw(st.sampled_from(HOLDS))
    holder = None
    if isinstance(hold, Busy):
        deleted = draw(st.sampled_from([None, None, NOW]))
        held_by = execution(draw(statuses()), uid=OTHER, key=HOLDER, deleted_at=deleted, created_at=BORN)
        holder = draw(st.sampled_from([None, held_by, held_by]))
    refusals = [refusal("Forbidden", "exceeded quota"), refusal("Invalid", "spec is invalid"), refusal("", "away")]
    return seen(
        hold,
        run=draw(runs()) if draw(st.booleans()) else None,
        run_owner_lives=draw(st.booleans()),
        run_owner_elsewhere=draw(st.booleans()),
        task_runs=draw(st.sampled_from([(), (failed_task(),), (NEVER_RAN,)])),
        refusal=draw(st.sampled_from([None, None, None, *refusals])),
        holder=holder,
        remains=draw(st.sampled_from([0, 0, 2])),
        frozen=draw(st.sampled_from([None, None, Freeze(reason="upgrade", by="ann", since=NOW)])),
        engine_available=draw(st.sampled_from([True, True, False])),
        requester_verified=draw(st.booleans()),
    )
