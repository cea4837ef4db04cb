"""What can be asked of an execution, and what stands in the way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cli.asks import (
    already,
    ask_patch,
    checked_reason,
    refuse_cancel,
    refuse_clear,
    refuse_unlock,
    standing,
)
from cli.errors import CommandError, UsageError
from models.names import ASK_CANCEL, ASK_CLEAR, ASK_UNLOCK, REQUESTED_BY
from models.policy import Policy
from tests.unit.cli.objects import execution

CANCELLED = {"at": "2026-03-01T11:59:50Z", "by": "alice", "reason": "wrong target"}
POLICY = Policy()


def failed(*, started: bool = True, **status: Any) -> dict[str, Any]:
    details = {
        "reason": "TaskFailed",
        "message": "boom",
        "failedAt": "2026-03-01T11:59:01Z",
        "naturalLanguageSummary": "It broke.",
        "wasExecutionFailure": started,
    }
    return {"phase": "Failed", "attempt": 1, "failureDetails": details, **status}


@pytest.mark.parametrize("text", ["", "  \n", "x" * 1025])
def test_a_reason_is_a_text_of_bounded_length(text: str) -> None:
    with pytest.raises(UsageError, match="--reason: allowed is a text of 1 to 1024 characters"):
        checked_reason(text)
    assert checked_reason(" wrong\n target ") == "wrong target"


def test_an_ask_is_signed_and_meant_for_this_object() -> None:
    assert ask_patch(execution(), ASK_CANCEL, "wrong target", "alice") == {
        "metadata": {"uid": "uid-restart", "annotations": {ASK_CANCEL: "wrong target", REQUESTED_BY: "alice"}}
    }


def test_nobody_signs_what_another_has_asked() -> None:
    asked = execution(annotations={ASK_UNLOCK: "later", REQUESTED_BY: "alice"})
    with pytest.raises(CommandError, match=r"alice has asked to unlock its target \(later\)") as refused:
        ask_patch(asked, ASK_CANCEL, "mine", "bob")
    assert f"--overwrite {ASK_UNLOCK}- {REQUESTED_BY}=bob" in str(refused.value)
    assert ask_patch(asked, ASK_CANCEL, "mine", "alice")
    recorded = replace(asked, status=execution(status={"unlock": CANCELLED}).status)
    assert standing(recorded) == ()
    assert ask_patch(recorded, ASK_CANCEL, "mine", "bob")


TOO_LATE = [
    (ASK_CANCEL, {"phase": "Completed"}, POLICY),
    (ASK_CANCEL, failed(), POLICY),
    (ASK_CANCEL, {"phase": "Skipped"}, POLICY),
    (ASK_CLEAR, {"phase": "Completed"}, POLICY),
    (ASK_CLEAR, failed(started=False), POLICY),
    (ASK_CLEAR, failed(unlock=CANCELLED), POLICY),
    (ASK_CLEAR, failed(), Policy(block_after_failure=False)),
]


@pytest.mark.parametrize(("late", "status", "policy"), TOO_LATE)
def test_an_ask_that_comes_too_late_stops_nobody(late: str, status: dict[str, Any], policy: Policy) -> None:
    asked = execution(status=status, annotations={late: "sorry", REQUESTED_BY: "alice"})
    assert standing(asked, policy) == ()
    assert already(asked, late, policy) == ""
    assert ask_patch(asked, ASK_UNLOCK, "mine", "bob", policy)["metadata"]["annotations"] == {
        late: None,
        ASK_UNLOCK: "mine",
        REQUESTED_BY: "bob",
    }


@pytest.mark.parametrize(
    ("ask", "status"),
    [
        (ASK_CANCEL, {"phase": "Running"}),
        (ASK_CANCEL, {"phase": "Pending"}),
        (ASK_CLEAR, {"phase": "Running"}),
        (ASK_CLEAR, failed()),
        (ASK_UNLOCK, {"phase": "Completed"}),
    ],
)
def test_an_ask_that_is_still_to_be_answered_stands(ask: str, status: dict[str, Any]) -> None:
    asked = execution(status=status, annotations={ask: "why", REQUESTED_BY: "alice"})
    assert [each.annotation for each in standing(asked, POLICY)] == [ask]
    other = ASK_CLEAR if ask == ASK_UNLOCK else ASK_UNLOCK
    with pytest.raises(CommandError, match="alice has asked"):
        ask_patch(asked, other, "mine", "bob", POLICY)
    own = ask_patch(asked, other, "mine", "alice", POLICY)["metadata"]["annotations"]
    assert own == {other: "mine", REQUESTED_BY: "alice"}


def test_what_was_asked_before_is_told() -> None:
    assert already(execution(), ASK_CANCEL) == ""
    told = already(execution(status={"cancellation": CANCELLED}), ASK_CANCEL)
    assert told == "alice has asked to cancel already at 2026-03-01T11:59:50Z: wrong target"
    unseen = already(execution(annotations={ASK_CANCEL: "wrong target"}), ASK_CANCEL)
    assert unseen == "somebody has asked to cancel already, the executor has not answered yet: wrong target"


def test_what_has_ended_is_not_cancelled() -> None:
    refuse_cancel(execution(status={"phase": "Running"}))
    with pytest.raises(CommandError, match=r"default/restart has ended \(Completed\)"):
        refuse_cancel(execution(status={"phase": "Completed"}))
    with pytest.raises(CommandError, match="is being deleted"):
        refuse_cancel(execution(deletionTimestamp="2026-03-01T11:59:59Z"))


@pytest.mark.parametrize(
    ("status", "policy", "why"),
    [
        ({"phase": "Running"}, POLICY, "it is Running"),
        (failed(started=False), POLICY, "no task of it had started"),
        (failed(), Policy(block_after_failure=False), "block_after_execution_failure is off"),
        (failed(unlock=CANCELLED), POLICY, "forced open"),
    ],
)
def test_only_a_block_is_cleared(status: dict[str, Any], policy: Policy, why: str) -> None:
    refuse_clear(execution(status=failed()), POLICY)
    with pytest.raises(CommandError, match=why):
        refuse_clear(execution(status=status), policy)


def test_what_goes_on_is_not_unlocked() -> None:
    refuse_unlock(execution(status={"phase": "Failed"}))
    with pytest.raises(CommandError, match="cancel it first: `wfe cancel restart -n default --reason"):
        refuse_unlock(execution(status={"phase": "Running"}))
    assert already(execution(status={"blockClearance": None}), ASK_CLEAR) == ""
