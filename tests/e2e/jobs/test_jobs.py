"""Executions of engine job, from creation to a free target, with the real Job controller and the local node."""

from __future__ import annotations

from typing import Any

import pytest

from models.keys import Key
from models.status import ConditionType, FailureDetails, FailureReason, Phase, WaitReason
from models.target import run_name
from tasks.adapters import paths
from tests.e2e.jobs.conftest import RUNS, User
from tests.waiting import until

pytestmark = pytest.mark.real_tekton

Reason = FailureReason


def gone(user: User, key: Key) -> bool:
    execution = user.read(key)
    return user.job(execution) is None and not user.pods(execution)


def failure_of(user: User, key: Key, seconds: float = 90) -> FailureDetails:
    failure = user.reaches(key, Phase.FAILED, seconds).status.failure
    assert failure is not None
    return failure


def test_job_succeeds_rests_and_makes_room_for_the_next(user: User) -> None:
    target = "jobs/deployment/shared"
    key = user.declare("success", target, parameters={"GRACE": "30", "A.b-c": "$(TARGET_RESOURCE)"})
    user.shows(key, lambda status: status.phase is not Phase.PENDING, "it has begun")
    second = user.declare("success", target)
    status = user.reaches(key, Phase.COMPLETED).status
    assert (status.run_name, status.failures) == (run_name(target), 0)
    assert {c.type for c in status.conditions} >= {ConditionType.CREATED, ConditionType.RUNNING, ConditionType.COMPLETE}
    assert status.run_status is not None
    assert (status.run_status.completed_tasks, status.run_status.total_tasks) == (1, 1)
    started = user.reaches(second, Phase.COMPLETED).status
    assert started.started_at is not None
    assert status.completed_at is not None
    assert (started.started_at - status.completed_at).total_seconds() >= 2
    until(lambda: gone(user, second), 60, "the last Job and its pods are gone")
    wanted = {"PipelineRunCreated", "WorkflowCompleted", "LockReleased"}
    until(lambda: user.events(second) >= wanted, 60, "the Events")


@pytest.mark.parametrize(
    ("outcome", "spec", "reason", "exit_code"),
    [
        ("exit-3", {}, Reason.TASK_FAILED, 3),
        ("oom", {}, Reason.OOM_KILLED, 137),
        ("hang", {"executionConfig": {"timeout": "8s"}}, Reason.DEADLINE_EXCEEDED, None),
    ],
)
def test_job_that_fails_after_its_start_is_not_repeated(
    user: User, outcome: str, spec: dict[str, Any], reason: FailureReason, exit_code: int | None
) -> None:
    key = user.declare(outcome, **spec)
    failure = failure_of(user, key)
    assert (failure.reason, failure.started, failure.exit_code) == (reason, True, exit_code)
    assert user.read(key).status.failures == 0
    if exit_code is not None:
        assert (failure.task_name, failure.step_name) == ("workflow", "workflow")


def test_image_that_cannot_be_pulled_is_tried_again_and_given_up(user: User) -> None:
    key = user.declare("image-pull")
    user.shows(key, lambda s: (s.failures, s.reason) == (1, WaitReason.BACKING_OFF), "the first attempt has failed")
    until(lambda: not user.pods(user.read(key)), 60, "no pod is left to start later")
    failure = failure_of(user, key)
    assert (failure.reason, failure.started) == (Reason.IMAGE_PULL_BACK_OFF, False)
    until(lambda: "RetriesExhausted" in user.events(key), 60, "the Event")


def test_pod_that_the_quota_refuses_is_tried_again(user: User) -> None:
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    path = f"/api/v1/namespaces/{RUNS}/resourcequotas"
    made = user.cluster.create(path, {"apiVersion": "v1", "kind": "ResourceQuota", **quota})
    try:
        until(lambda: (user.cluster.get(f"{path}/none") or {}).get("status", {}).get("hard"), 60, "the quota counts")
        key = user.declare("success")
        failed = user.shows(key, lambda status: status.failures == 1, "the first attempt has failed")
        running = failed.status.condition(ConditionType.RUNNING)
        assert running is not None
        assert (running.status, running.reason) == (False, "PipelineFailedToStart")
        assert "exceeded quota" in running.message
    finally:
        user.cluster.delete(f"{path}/none", uid=made["metadata"]["uid"])
    assert user.reaches(key, Phase.COMPLETED).status.failures == 0


def test_cancelled_job_is_suspended_and_its_pod_removed(user: User) -> None:
    key = user.declare("hang")
    until(
        lambda: any(pod["status"].get("phase") == "Running" for pod in user.pods(user.reaches(key, Phase.RUNNING))),
        60,
        "a running pod",
    )
    user.annotate(key, cancel="wrong target", requested_by="devcluster:admin")
    failure = failure_of(user, key)
    assert failure.reason is Reason.UNKNOWN
    assert "cancelled by" in failure.message
    assert failure.started
    assert not user.pods(user.read(key))


def test_deleted_execution_takes_its_job_and_pods_with_it(user: User) -> None:
    key = user.declare("hang")
    execution = user.reaches(key, Phase.RUNNING)
    until(lambda: user.pods(execution), 60, "a pod")
    user.delete(key)
    until(lambda: user.find(key) is None, 90, "the execution is gone")
    assert user.job(execution) is None
    assert not [pod for pod in user.pods(execution) if pod["status"]["phase"] == "Running"]


def test_job_that_somebody_deletes_fails_the_execution(user: User) -> None:
    key = user.declare("hang")
    run = user.job(user.reaches(key, Phase.RUNNING))
    assert run is not None
    user.cluster.delete(paths.job(RUNS, run.name), uid=run.uid)
    failure = failure_of(user, key)
    assert (failure.reason, failure.started) == (Reason.UNKNOWN, False)
    assert "deleted externally" in failure.message
