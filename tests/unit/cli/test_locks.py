"""What `wfe locks`, `wfe queue`, `wfe status`, `wfe config show` and the quarantine print."""

from __future__ import annotations

from typing import Any

import pytest

from cli.configuring import settings_table
from cli.health import executions_finding
from cli.holding import Doing, use_of
from cli.locks import Lock, locks_table
from cli.quarantine import quarantine_table
from models.hold import Held
from models.keys import Key
from models.policy import Policy
from models.setting_origins import explain
from models.settings import parse_settings
from tasks.redis_scripts.outbox import SetAside
from tests.unit.cli.objects import NOW, document, execution, later

POLICY = Policy()
ASKED = {"at": "2026-03-01T11:59:50Z", "by": "alice", "reason": "wrong"}
BROKEN = {"reason": "TaskFailed", "failedAt": "2026-03-01T11:59:50Z", "wasExecutionFailure": True}
RUN = {"name": "wfe-0123456789abcdef"}


@pytest.mark.parametrize(
    ("status", "due", "doing", "words"),
    [
        ({"phase": "Pending"}, None, Doing.STARTING, "Pending"),
        ({"phase": "Running", "pipelineRunRef": RUN}, None, Doing.RUNNING, "Running"),
        ({"phase": "Running", "pipelineRunRef": RUN, "cancellation": ASKED}, None, Doing.CANCELLING, "cancelled"),
        ({"phase": "Pending", "reason": "Frozen"}, None, Doing.FROZEN, "frozen"),
        (
            {"consecutiveFailures": 2, "attempt": 2, "nextAllowedExecution": "2026-03-01T12:01:00Z"},
            60,
            Doing.BACKING_OFF,
            "tries again at 2026-03-01T12:01:00Z",
        ),
        ({"phase": "Completed"}, 60, Doing.RESTING, "rests until 2026-03-01T12:01:00Z"),
        ({"phase": "Completed"}, -1, Doing.RELEASING, "being released"),
        ({"phase": "Failed", "attempt": 1, "failureDetails": BROKEN}, 60, Doing.BLOCKING, "`wfe clear restart`"),
    ],
)
def test_what_a_holder_does(status: dict[str, Any], due: float | None, doing: Doing, words: str) -> None:
    use = use_of(execution(status=status), None if due is None else later(due), NOW, POLICY)
    assert use.doing is doing
    assert words in use.words


def test_a_holder_that_goes_or_is_gone() -> None:
    going = execution(status={"phase": "Running"}, deletionTimestamp="2026-03-01T11:59:59Z")
    assert use_of(going, None, NOW, POLICY).doing is Doing.DELETING
    assert use_of(None, None, NOW, POLICY).doing is Doing.GONE


def test_locks_are_a_table() -> None:
    held = Held("default/deployment/web", Key("default", "first"), "u", 17, later(-90), 2)
    lock = Lock(held, use_of(execution(status={"phase": "Running", "pipelineRunRef": RUN}), None, NOW, POLICY))
    assert locks_table([lock], NOW, wide=False) == (
        "TARGET                   HOLDER          FENCE   SINCE   WAITING   STATE\n"
        "default/deployment/web   default/first   17      90s     2         Running"
    )
    assert "RUN" in locks_table([lock], NOW, wide=True).splitlines()[0].split()


def test_status_counts_what_waits_by_its_reason() -> None:
    statuses = [{"phase": "Pending", "reason": "Frozen"}, {}, {"phase": "Running"}, {"phase": "Completed"}]
    found = executions_finding(document(status=status) for status in statuses)
    assert found.detail == "1 Completed, 2 Pending (1 Frozen, 1 new), 1 Running"
    assert executions_finding([]).detail == "none"


def test_settings_are_a_table_with_their_origin() -> None:
    settings = parse_settings({"execution": {"cooldown_period": "10s"}}, {"WFE_REDIS_PREFIX": "x"}, {})
    rows = [line.split("  ") for line in settings_table(explain(settings), wide=False).splitlines()]
    told = {row[0]: [cell.strip() for cell in row[1:] if cell.strip()] for row in rows}
    assert told["execution.cooldown_period"][:2] == ["10s", "file"]
    assert told["redis.prefix"][:2] == ["x", "environment WFE_REDIS_PREFIX"]
    assert told["redis.password"][:2] == ['""', "default"]
    assert "WHY" in settings_table(explain(settings), wide=True).splitlines()[0]


def test_quarantine_names_event_and_problem() -> None:
    found = [
        SetAside("e-1", Key("default", "one"), "400: too long", '{"event_type": "workflow.failed"}'),
        SetAside("e-2", Key("default", "two"), "400: no JSON", "\ufffd"),
    ]
    assert quarantine_table(found) == (
        "EVENT ID   EXECUTION     EVENT             PROBLEM\n"
        "e-1        default/one   workflow.failed   400: too long\n"
        "e-2        default/two                     400: no JSON"
    )
