"""Every cause that `wfe why` knows: one sentence and the next step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cli.explain import explain
from cli.explanation import World
from models.execution import Execution
from models.freeze import Freeze
from models.hold import Busy, Free, GateClosed, Mine
from models.keys import Key
from models.run import Run
from models.task_run import TaskRun
from tests.unit.cli.objects import NOW, condition, execution, later

HOLDER = Key("default", "first")


def busy(position: int = 2) -> Busy:
    return Busy(HOLDER, "uid-first", later(-75), position)


def run(reason: str, message: str) -> Run:
    return Run(
        name="wfe-0123456789abcdef",
        namespace="kubernaut-workflows",
        uid="run",
        created_at=NOW,
        labels={},
        annotations={},
        reason=reason,
        message=message,
    )


def backing_off(kind: str, reason: str, message: str) -> dict[str, Any]:
    return {
        "phase": "Pending",
        "reason": "BackingOff",
        "attempt": 2,
        "consecutiveFailures": 2,
        "nextAllowedExecution": "2026-03-01T12:00:23Z",
        "conditions": [condition(kind, "False", reason, message)],
    }


def test_target_busy_names_position_holder_and_since() -> None:
    told = explain(execution(status={"phase": "Pending"}), World(now=NOW, hold=busy()))
    assert told.sentence == (
        "it is number 2 in line for default/deployment/web, held by default/first since 2026-03-01T11:58:45Z (75s)"
    )
    assert "wfe why first -n default" in told.next_step


def test_cooldown_names_its_end() -> None:
    world = World(now=NOW, hold=busy(1), holder_ended=True, rests_until=later(42))
    told = explain(execution(status={"phase": "Pending"}), world)
    assert told.sentence == (
        "it is number 1 in line for default/deployment/web, "
        "which rests until 2026-03-01T12:00:42Z (in 42s) after default/first"
    )
    assert told.next_step == "wait; it starts by itself"


def test_refused_creation_names_the_message_and_the_next_attempt() -> None:
    message = (
        "attempt 2 failed before any task ran, next not before 2026-03-01T12:00:23Z: exceeded quota: runs, used: 3"
    )
    status = backing_off("TektonPipelineCreated", "QuotaExceeded", message)
    told = explain(execution(status=status), World(now=NOW, hold=Mine(1, NOW)))
    assert told.sentence == (
        "attempt 2: the API server refused its run (QuotaExceeded, exceeded quota: runs, used: 3); "
        "the next attempt is at 2026-03-01T12:00:23Z (in 23s)"
    )
    assert "quota" in told.next_step


def test_run_that_tekton_refused_waits_in_running() -> None:
    status = backing_off("TektonPipelineRunning", "PipelineFailedToStart", "could not find bundle r/restart:v1")
    told = explain(execution(status={**status, "phase": "Running"}), World(now=NOW, hold=Mine(1, NOW)))
    assert "its run failed before any task ran (PipelineFailedToStart, could not find bundle" in told.sentence


def test_invalid_spec_says_what_is_wrong_and_how_to_go_on() -> None:
    failure = {
        "reason": "ConfigurationError",
        "message": "spec.targetResource 'web' has 1 part(s)",
        "failedAt": "2026-03-01T11:59:01Z",
        "wasExecutionFailure": False,
    }
    told = explain(execution(status={"phase": "Failed", "failureDetails": failure}), World(now=NOW, hold=Free()))
    assert told.sentence == "its spec is invalid: spec.targetResource 'web' has 1 part(s)"
    assert "kubectl delete wfe restart -n default" in told.next_step


def test_failure_names_task_step_and_exit_code() -> None:
    failure = {
        "reason": "TaskFailed",
        "message": "boom",
        "failedTaskName": "rollback",
        "failedStepName": "undo",
        "exitCode": 1,
        "failedAt": "2026-03-01T11:59:01Z",
        "naturalLanguageSummary": "Task 'rollback' failed.",
        "wasExecutionFailure": True,
    }
    status = {"phase": "Failed", "failureDetails": failure, "pipelineRunRef": {"name": "wfe-0123456789abcdef"}}
    told = explain(execution(status=status), World(now=NOW))
    assert told.sentence == "it failed (TaskFailed; task rollback, step undo, exit code 1): Task 'rollback' failed"
    seen = World(now=NOW, run=run("Failed", ""), run_namespace="kubernaut-workflows")
    assert "kubectl describe pipelinerun wfe-0123456789abcdef" in explain(execution(status=status), seen).next_step


def test_redis_down_comes_before_everything_else() -> None:
    world = World(now=NOW, redis_fault="Redis: ConnectionError: refused", hold=None)
    for phase in ("Pending", "Running"):
        told = explain(execution(status={"phase": phase}), world)
        assert told.sentence.startswith("Redis does not answer")
        assert "refused" in told.sentence


def test_an_ended_execution_is_not_explained_by_redis() -> None:
    status = {"phase": "Completed", "duration": "1m30s", "pipelineRunRef": {"name": "wfe-0123456789abcdef"}}
    told = explain(execution(status=status), World(now=NOW, redis_fault="away"))
    assert told.sentence == "it completed after 1m30s: run wfe-0123456789abcdef succeeded"


def test_gate_closed() -> None:
    told = explain(execution(status={"phase": "Pending"}), World(now=NOW, hold=GateClosed()))
    assert told.sentence.startswith("Redis came back empty")


@pytest.mark.parametrize(
    ("workers", "sentence"),
    [(0, "no worker is running; it has waited 12s for one"), (2, "no worker has taken it for 12s (2 running)")],
)
def test_nothing_consumes_the_key(workers: int, sentence: str) -> None:
    world = World(now=NOW, hold=Free(), due=later(-12), workers=workers)
    assert explain(execution(status={"phase": "Pending"}), world).sentence == sentence


def test_a_pass_that_runs_now_is_no_missing_worker() -> None:
    world = World(now=NOW, hold=Free(), due=later(-12), pass_running=True)
    assert "worker has taken" not in explain(execution(status={"phase": "Pending"}), world).sentence


def test_looks_that_fail_send_to_the_logs() -> None:
    world = World(now=NOW, hold=Free(), due=later(8), failed_passes=3)
    told = explain(execution(status={"phase": "Pending"}), world)
    assert told.sentence == "the last 3 looks at it failed; the next is at 2026-03-01T12:00:08Z"
    assert "look for default/restart" in told.next_step


def test_an_end_whose_target_cannot_be_freed_sends_to_what_is_refused() -> None:
    over = execution(status={"phase": "Completed", "duration": "5s", "pipelineRunRef": {"name": "wfe-1"}})
    stuck = World(now=NOW, hold=Mine(fence=1, since=NOW), due=later(8), failed_passes=3)
    told = explain(over, stuck)
    assert told.sentence == (
        "it completed after 5s: run wfe-1 succeeded; its target is still held, because the last 3 looks at it failed; "
        "the next is at 2026-03-01T12:00:08Z"
    )
    assert "CleanupFailed" in told.next_step
    for fine in (replace(stuck, failed_passes=0), replace(stuck, hold=Free())):
        assert "still held" not in explain(over, fine).sentence


def test_its_own_target_can_still_be_in_use() -> None:
    message = "2 TaskRuns or pods of an earlier run of this target are still being removed"
    status = {
        "phase": "Pending",
        "reason": "TargetResourceBusy",
        "conditions": [condition("ResourceLocked", "True", "TargetResourceBusy", message)],
    }
    told = explain(execution(status=status), World(now=NOW, hold=Mine(1, NOW)))
    assert told.sentence == f"it waits (TargetResourceBusy): {message}"


def test_an_engine_that_is_not_there() -> None:
    message = "engine job is not available in this version of the executor"
    status = {
        "phase": "Pending",
        "reason": "EngineUnavailable",
        "conditions": [condition("TektonPipelineCreated", "False", "PipelineCreationFailed", message)],
    }
    assert message in explain(execution(status=status), World(now=NOW, hold=Free())).sentence


def test_never_noticed_by_a_watcher() -> None:
    told = explain(execution(finalizers=[]), World(now=NOW, hold=Free()))
    assert told.sentence == "no watcher has noticed it in the 60s since it was created"


def test_just_created() -> None:
    new = execution(finalizers=[], creationTimestamp="2026-03-01T11:59:59Z")
    assert explain(new, World(now=NOW, hold=Free())).sentence.startswith("it is new")


def test_running_says_what_tekton_says() -> None:
    status = {
        "phase": "Running",
        "startTime": "2026-03-01T11:57:00Z",
        "pipelineRunRef": {"name": "wfe-0123456789abcdef"},
    }
    seen = World(now=NOW, hold=Mine(1, NOW), run=run("Running", "Tasks Completed: 1, Incomplete: 1"))
    told = explain(execution(status=status), seen)
    assert told.sentence == (
        "it has been running for 3m; of run wfe-0123456789abcdef Tekton says Running: Tasks Completed: 1, Incomplete: 1"
    )
    gone = explain(execution(status=status), World(now=NOW, hold=Mine(1, NOW)))
    assert "is gone" in gone.sentence


def test_running_says_what_the_task_waits_for() -> None:
    waiting = TaskRun(
        name="t",
        pipeline_task="restart",
        index=0,
        reason="Pending",
        message="0/1 nodes are available: 1 Insufficient cpu",
    )
    seen = World(now=NOW, hold=Mine(1, NOW), run=run("Running", "Incomplete: 1"), task=waiting)
    status = {"phase": "Running", "pipelineRunRef": {"name": "wfe-0123456789abcdef"}}
    sentence = explain(execution(status=status), seen).sentence
    assert sentence.endswith("of its task restart Pending: 0/1 nodes are available: 1 Insufficient cpu")


def deleted(**metadata: Any) -> Execution:
    return execution(status={"phase": "Running"}, deletionTimestamp="2026-03-01T11:59:59Z", **metadata)


@pytest.mark.parametrize(
    ("world", "waits"),
    [
        (World(now=NOW, hold=Mine(1, NOW)), "its target is being freed"),
        (World(now=NOW, run=run("Running", "")), "its run wfe-0123456789abcdef is being removed"),
        (World(now=NOW, remains=2), "2 TaskRuns or pods of its run are being removed"),
        (World(now=NOW, unstored=1), "1 of its audit events are being stored"),
    ],
)
def test_being_deleted_names_what_it_waits_for(world: World, waits: str) -> None:
    told = explain(deleted(), world)
    assert told.sentence.startswith(f"it is being deleted and {waits}")
    assert told.sentence.endswith("; what keeps it: workflowexecution.kubernaut.ai/workflowexecution-cleanup")


def test_a_finalizer_of_somebody_else_is_named() -> None:
    told = explain(deleted(finalizers=["example.com/keep"]), World(now=NOW, hold=Free()))
    assert told.sentence == "it is being deleted and we are done with it; what keeps it: example.com/keep"
    assert "example.com/keep" in told.next_step


def failed(**status: Any) -> dict[str, Any]:
    details = {
        "reason": "TaskFailed",
        "message": "boom",
        "failedAt": "2026-03-01T11:59:01Z",
        "naturalLanguageSummary": "Task 'rollback' failed.",
        "wasExecutionFailure": True,
    }
    return {"phase": "Failed", "attempt": 1, "failureDetails": details, **status}


def test_a_block_names_the_command_that_clears_it() -> None:
    world = World(now=NOW, hold=busy(1), holder_ended=True, holder_blocks=True)
    waits = explain(execution(status={"phase": "Pending"}), world)
    assert waits.sentence == (
        "it is number 1 in line for default/deployment/web, which is blocked: default/first failed half-way"
    )
    assert '`wfe clear first -n default --reason "…"`' in waits.next_step
    blocks = explain(execution(status=failed()), World(now=NOW, blocks=True))
    assert blocks.sentence.endswith("it blocks default/deployment/web until somebody clears it")
    assert '`wfe clear restart -n default --reason "…"`' in blocks.next_step


FROZEN = Freeze("maintenance", "alice", later(-60))


def test_frozen_names_who_since_and_why() -> None:
    status = {"phase": "Pending", "reason": "Frozen"}
    told = explain(execution(status=status), World(now=NOW, hold=Mine(1, NOW), frozen=FROZEN))
    assert told.sentence == "everything is frozen by alice since 2026-03-01T11:59:00Z: maintenance"
    assert told.next_step == "`wfe unfreeze` lets it start"
    assert "has ended" in explain(execution(status=status), World(now=NOW, hold=Mine(1, NOW))).sentence
    waits = explain(execution(status={"phase": "Pending"}), World(now=NOW, hold=busy(), frozen=FROZEN)).sentence
    assert waits.startswith("it is number 2 in line")
    assert waits.endswith("; and everything is frozen by alice since 2026-03-01T11:59:00Z: maintenance")


def test_cancelling_names_who_when_and_why() -> None:
    asked = {"at": "2026-03-01T11:59:50Z", "by": "alice", "reason": "wrong target"}
    told = explain(execution(status={"phase": "Running", "cancellation": asked}), World(now=NOW, hold=Mine(1, NOW)))
    assert told.sentence == "it is being cancelled, as alice asked at 2026-03-01T11:59:50Z: wrong target"
    assert told.next_step == "wait; a run that has not ended by 2026-03-01T12:00:50Z is deleted"
    late = World(now=later(90), hold=Mine(1, NOW))
    assert "as soon as its run is gone" in (
        explain(execution(status={"phase": "Running", "cancellation": asked}), late).next_step
    )
    annotations = {"kubernaut.ai/cancel": "wrong target", "kubernaut.ai/requested-by": "alice"}
    unseen = explain(execution(annotations=annotations), World(now=NOW, hold=Mine(1, NOW)))
    assert unseen.sentence.startswith("alice asked to cancel it (wrong target)")
    ended = explain(execution(status=failed(cancellation=asked)), World(now=NOW))
    assert ended.sentence == "it was cancelled by alice: wrong target"


def test_skipped_names_the_holder() -> None:
    skip = {"reason": "ResourceBusy", "message": "held by default/first", "skippedAt": "2026-03-01T11:59:50Z"}
    told = explain(execution(status={"phase": "Skipped", "skipDetails": skip}), World(now=NOW))
    assert told.sentence == "it was skipped (ResourceBusy): held by default/first"


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("CouldntGetPipeline: error requesting remote resource: not found", "push the bundle r/restart:v1"),
        ('translating TaskSpec: serviceaccounts "runner" not found', "create the account of the runs"),
        ('the step "act" failed to pull image: ErrImagePull', "an image of the pipeline cannot be pulled"),
        ("0/3 nodes are available: 3 Insufficient memory", "no node takes its pod"),
        ("something new", "remove the cause"),
    ],
)
def test_a_failure_before_any_task_names_its_cure(text: str, cure: str) -> None:
    status = backing_off("TektonPipelineRunning", "PipelineFailedToStart", text)
    told = explain(execution(status={**status, "phase": "Running"}), World(now=NOW, hold=Mine(1, NOW)))
    assert cure in told.next_step


def test_a_right_that_is_missing() -> None:
    status = backing_off("TektonPipelineCreated", "RBACDenied", "pipelineruns is forbidden")
    assert "deploy/rbac.yaml" in explain(execution(status=status), World(now=NOW, hold=Mine(1, NOW))).next_step


@pytest.mark.parametrize(
    ("reason", "message", "waits"),
    [
        ("Pending", 'pod status "PodScheduled":"False"; message: "0/1 nodes are available"', "no node takes its pod"),
        ("Pending", "ImagePullBackOff: Back-off pulling image", "an image cannot be pulled"),
    ],
)
def test_a_pod_that_cannot_start(reason: str, message: str, waits: str) -> None:
    task = TaskRun(name="t", pipeline_task="restart", index=0, reason=reason, message=message)
    seen = World(now=NOW, hold=Mine(1, NOW), run=run("Running", ""), task=task)
    status = {"phase": "Running", "pipelineRunRef": {"name": "wfe-0123456789abcdef"}}
    assert f", but {waits}; of run" in explain(execution(status=status), seen).sentence


def test_an_audit_event_that_was_refused() -> None:
    facts = [{"type": "workflow.completed", "attempt": 1, "at": "2026-03-01T11:59:00Z"}]
    world = World(now=NOW, unstored=1, refused=("400 validation-error: too long",))
    told = explain(execution(status={"phase": "Completed", "audit": {"pending": facts}}), world)
    assert told.sentence.endswith("DataStorage refused 1 of its audit events (400 validation-error: too long)")
    assert "wfe audit quarantine list" in told.next_step


@pytest.mark.parametrize(("age", "unstored", "told"), [(2, 1, False), (60, 0, False), (60, 1, True)])
def test_audit_backlog_is_told_when_it_lasts(age: int, unstored: int, told: bool) -> None:
    at = later(-age).strftime("%Y-%m-%dT%H:%M:%SZ")
    facts = [{"type": "workflow.completed", "attempt": 1, "at": at}]
    world = World(now=NOW, unstored=unstored, outbox=9, datastorage_fault="http://ds/health/ready: refused")
    sentence = explain(execution(status={"phase": "Completed", "audit": {"pending": facts}}), world).sentence
    assert ("1 of its audit events wait for DataStorage (http://ds/health/ready: refused)" in sentence) is told


def test_audit_backlog_of_a_datastorage_that_is_well_says_what_it_answered() -> None:
    facts = [{"type": "workflow.completed", "attempt": 1, "at": later(-60).strftime("%Y-%m-%dT%H:%M:%SZ")}]
    ended = execution(status={"phase": "Completed", "audit": {"pending": facts}})
    world = World(now=NOW, unstored=1, outbox=9, outbox_trouble="DataStorage answered 401 unauthorized:\nwho?")
    assert "wait for DataStorage (DataStorage answered 401 unauthorized: who?)" in explain(ended, world).sentence
    assert "(9 are queued in all)" in explain(ended, replace(world, outbox_trouble="")).sentence
