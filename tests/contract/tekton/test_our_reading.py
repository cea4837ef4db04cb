"""What the real controller writes about a failure, read by us: class, whether a task had started, where it failed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from models.failure import explain_failure
from models.run import read_run
from models.status import FailureDetails, FailureReason
from models.task_run import read_task_runs
from tests.contract.tekton.mishaps import NOWHERE, node_says, time_is_up_when, time_of_task_is_up
from tests.contract.tekton.stage import API, Case, Stage

pytestmark = pytest.mark.real_tekton

Reason = FailureReason
NOW = datetime(2100, 1, 1, tzinfo=UTC)
EVICTED = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}


def read(stage: Stage, case: Case) -> FailureDetails:
    _, run, task_runs = stage.perform(case)
    stage.client.request("DELETE", f"{API}/pipelineruns/{case.run}")
    found = read_run(run)
    return explain_failure(found, read_task_runs(task_runs, found), NOW)


CASES = [
    (Case("r-exit", {"outcome": "exit", "exit-code": "3", "message": "boom"}), Reason.TASK_FAILED, True, ("task-1", 0)),
    (
        Case("r-second", {"outcome": "exit", "task": "task-2"}, bundle="tasks-3"),
        Reason.TASK_FAILED,
        True,
        ("task-2", 1),
    ),
    (
        Case("r-finally", {"outcome": "exit", "task": "task-2"}, bundle="finally"),
        Reason.TASK_FAILED,
        True,
        ("task-2", 1),
    ),
    (Case("r-oom", {"outcome": "oom"}), Reason.OOM_KILLED, True, ("task-1", 0)),
    (Case("r-pull", {"outcome": "image-pull"}), Reason.IMAGE_PULL_BACK_OFF, False, ("task-1", 0)),
    (Case("r-account", account="nobody"), Reason.CONFIGURATION_ERROR, False, ("task-1", 0)),
    (
        Case("r-timeout", {"outcome": "hang"}, mishap=time_is_up_when("Running")),
        Reason.DEADLINE_EXCEEDED,
        True,
        ("task-1", 0),
    ),
    (
        Case("r-task-time", {"outcome": "hang"}, mishap=time_of_task_is_up),
        Reason.DEADLINE_EXCEEDED,
        True,
        ("task-1", 0),
    ),
    (
        Case("r-nowhere", pod_template=NOWHERE, mishap=time_is_up_when("Pending")),
        Reason.DEADLINE_EXCEEDED,
        False,
        ("task-1", 0),
    ),
    (Case("r-evicted", {"outcome": "hang"}, mishap=node_says(EVICTED)), Reason.RESOURCE_EXHAUSTED, True, ("task-1", 0)),
    (Case("r-cancel", {"outcome": "hang"}, cancel="CancelledRunFinally"), Reason.UNKNOWN, True, ("task-1", 0)),
    (Case("r-bundle", bundle="absent"), Reason.CONFIGURATION_ERROR, False, ("", 0)),
    (Case("r-parameter", bundle="parameter"), Reason.CONFIGURATION_ERROR, False, ("", 0)),
    (Case("r-task", bundle="task-absent"), Reason.CONFIGURATION_ERROR, False, ("", 0)),
]


@pytest.mark.parametrize(("case", "reason", "started", "where"), [pytest.param(*row, id=row[0].name) for row in CASES])
def test_failure_of_the_real_controller(
    real_stage: Stage, case: Case, reason: FailureReason, started: bool, where: tuple[str, int]
) -> None:
    details = read(real_stage, case)
    assert (details.reason, details.started) == (reason, started), details
    assert (details.task_name, details.task_index) == where
    if case.name == "r-exit":
        assert (details.step_name, details.exit_code) == ("main", 3)
        assert "boom" in details.summary
        assert details.run_time


def test_pod_that_pod_security_refuses(real_stage: Stage) -> None:
    label = "pod-security.kubernetes.io/enforce"
    path = "/api/v1/namespaces/contract-runs"
    patch = "application/merge-patch+json"
    real_stage.client.request("PATCH", path, {"metadata": {"labels": {label: "restricted"}}}, patch)
    try:
        real_stage.await_pods(taken=False)
        details = read(real_stage, Case("r-security"))
    finally:
        real_stage.client.request("PATCH", path, {"metadata": {"labels": {label: None}}}, patch)
        real_stage.await_pods(taken=True)
    assert (details.reason, details.started) == (Reason.FORBIDDEN, False), details
