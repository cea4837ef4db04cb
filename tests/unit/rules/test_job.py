"""Engine job: how a Job is asked for and read, and when one is stopped whose pod can never start."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from models.actions import CancelRun, WakeAt
from models.decide import decide
from models.execution import Engine
from models.job import read_job, read_job_pods
from models.manifest import run_manifest
from models.names import ANNOTATION_STOPPED
from models.restore import restore
from models.run import Run
from models.task_run import Step, TaskRun
from models.validation import find_fault
from tests.unit.rules.builders import MINE, NOW, POLICY, execution, run, running, seen, spec

DIGEST = "sha256:" + "0" * 64
METADATA = {"name": "wfe-1", "namespace": "n", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}
SUSPENDED = {"type": "Suspended", "status": "True", "lastTransitionTime": "2026-01-01T00:01:00Z"}


def test_job_of_an_execution() -> None:
    asked = spec(engine=Engine.JOB, digest=DIGEST, timeout="90.5s", parameters={"B": "$(A)", "A": "$5"})
    manifest = run_manifest(execution(spec=asked), 2, 7, POLICY)
    tekton = run_manifest(execution(spec=spec()), 2, 7, POLICY)
    assert (manifest["apiVersion"], manifest["kind"]) == ("batch/v1", "Job")
    assert manifest["metadata"] == tekton["metadata"]
    assert (manifest["spec"]["backoffLimit"], manifest["spec"]["activeDeadlineSeconds"]) == (0, 91)
    pod = manifest["spec"]["template"]["spec"]
    assert (pod["restartPolicy"], pod["serviceAccountName"]) == ("Never", POLICY.service_account)
    (container,) = pod["containers"]
    assert (container["name"], container["image"]) == ("workflow", f"registry.example/restart:v1@{DIGEST}")
    env = {variable["name"]: variable["value"] for variable in container["env"]}
    assert env == {"A": "$5", "B": "$$(A)", "TARGET_RESOURCE": asked.target}
    assert list(env) == ["A", "B", "TARGET_RESOURCE"]


@pytest.mark.parametrize("name", ["1st", "with space", "a=b", "ä", ""])
def test_parameter_that_is_no_name_of_a_variable_is_a_fault_of_a_job_only(name: str) -> None:
    parameters = {name: "x"}
    assert "spec.parameters" in (find_fault(spec(engine=Engine.JOB, parameters=parameters)) or "")
    assert find_fault(spec(parameters=parameters)) is None


def read(conditions: list[dict[str, str]] | None = None, **changes: Any) -> Run:
    status = {"startTime": "2026-01-01T00:00:01Z", "conditions": conditions or [], **changes.pop("status", {})}
    annotations = {ANNOTATION_STOPPED: changes.pop("stopped")} if "stopped" in changes else {}
    document = {"metadata": {**METADATA, "annotations": annotations}, "spec": changes, "status": status}
    return read_job(document)


@pytest.mark.parametrize(
    ("conditions", "succeeded", "reason"),
    [
        ([], None, ""),
        ([{"type": "SuccessCriteriaMet", "status": "True"}], None, ""),
        ([{"type": "FailureTarget", "status": "True", "reason": "BackoffLimitExceeded"}], None, ""),
        ([{"type": "Complete", "status": "True", "reason": "CompletionsReached"}], True, "CompletionsReached"),
        ([{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}], False, "BackoffLimitExceeded"),
        ([{"type": "Failed", "status": "False"}], None, ""),
        ([SUSPENDED], None, ""),
    ],
)
def test_end_of_a_job(conditions: list[dict[str, str]], succeeded: bool | None, reason: str) -> None:
    found = read(conditions, suspend=True)
    assert (found.succeeded, found.reason) == (succeeded, reason)


@pytest.mark.parametrize("left", [{"active": 1}, {"terminating": 1}])
def test_stopped_job_ends_when_its_pods_are_gone(left: dict[str, int]) -> None:
    stopped = "ImagePullBackOff: no such image: x"
    assert read([SUSPENDED], suspend=True, stopped=stopped, status=left).succeeded is None
    assert read([SUSPENDED], suspend=False, stopped=stopped).succeeded is None
    ended = read([SUSPENDED], suspend=True, stopped=stopped)
    assert (ended.succeeded, ended.reason, ended.message) == (False, "ImagePullBackOff", "no such image: x")


def test_pods_of_another_job_of_that_name_are_left_out() -> None:
    pods = [{"metadata": {"name": uid, "ownerReferences": [{"uid": uid}]}, "status": {}} for uid in ("u", "earlier")]
    assert [task.name for task in read_job_pods(pods, read())] == ["u"]


@pytest.mark.parametrize(
    ("status", "succeeded", "reason"),
    [
        ({"phase": "Succeeded"}, True, "Succeeded"),
        ({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}, False, "Evicted"),
        ({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 1}}}]}, False, "Failed"),
        ({"containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull"}}}]}, None, "ErrImagePull"),
        ({"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]}, False, "ImagePullBackOff"),
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]},
            None,
            "Unschedulable",
        ),
    ],
)
def test_pod_as_the_only_task(status: dict[str, Any], succeeded: bool | None, reason: str) -> None:
    pod = {"metadata": {"name": "p", "ownerReferences": [{"uid": "u"}]}, "status": status}
    (task,) = read_job_pods([pod], read())
    assert (task.succeeded, task.reason, task.pipeline_task) == (succeeded, reason, "workflow")


def test_waiting_job_stands_in_line_again_after_a_restoration() -> None:
    found = restore([execution(spec=spec(engine=Engine.JOB))], [], NOW, POLICY)
    assert len(found.places) == 1


STUCK = TaskRun(name="p", pipeline_task="workflow", index=0, succeeded=False, reason="ImagePullBackOff", message="no")


def job(**changes: Any) -> Run:
    return run(engine=Engine.JOB, waits_for_pod=True, **changes)


def test_job_whose_pod_can_never_start_is_stopped() -> None:
    asked = execution(running(), spec=spec(engine=Engine.JOB))
    actions = decide(asked, seen(MINE, run=job(), task_runs=(STUCK,)), NOW, policy=POLICY)
    assert actions == (CancelRun("run-1", "ImagePullBackOff: no"),)


def test_job_is_given_a_moment_before_it_is_stopped() -> None:
    asked = execution(running(), spec=spec(engine=Engine.JOB))
    fresh = job(created_at=NOW - timedelta(seconds=1))
    actions = decide(asked, seen(MINE, run=fresh, task_runs=(STUCK,)), NOW, policy=POLICY)
    assert actions == (WakeAt(NOW + timedelta(seconds=5)),)


@pytest.mark.parametrize("step", [Step(name="w", running=True), Step(name="w", exit_code=1)])
def test_job_of_which_a_container_was_alive_is_not_stopped(step: Step) -> None:
    asked = execution(running(), spec=spec(engine=Engine.JOB))
    begun = replace(STUCK, steps=(step,))
    assert decide(asked, seen(MINE, run=job(), task_runs=(begun,)), NOW, policy=POLICY) == (
        WakeAt(NOW + timedelta(seconds=5)),
    )


def test_pods_of_an_old_job_are_looked_at_ever_more_rarely() -> None:
    asked = execution(running(), spec=spec(engine=Engine.JOB))
    old = job(created_at=NOW - timedelta(minutes=2))
    assert decide(asked, seen(MINE, run=old), NOW, policy=POLICY) == (WakeAt(NOW + timedelta(seconds=30)),)
    older = job(created_at=NOW - timedelta(hours=2))
    assert decide(asked, seen(MINE, run=older), NOW, policy=POLICY) == (WakeAt(NOW + timedelta(minutes=1)),)
