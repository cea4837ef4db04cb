"""Failure classes: Tekton's words, as its controller was seen to write them, and what they mean to us."""

from __future__ import annotations

import pytest

from models.failure import explain_failure, had_started, refusal
from models.run import Step, TaskRun
from models.status import FailureReason
from tests.unit.rules.builders import NOW, failed, failed_task

Reason = FailureReason


@pytest.mark.parametrize(
    ("task_reason", "step", "expected", "started"),
    [
        ("StepFailed", Step(name="act", exit_code=1, reason="Error"), Reason.TASK_FAILED, True),
        ("StepOOM", Step(name="act", exit_code=137, reason="OOMKilled"), Reason.OOM_KILLED, True),
        ("Failed", Step(name="act", exit_code=137, reason="OOMKilled"), Reason.OOM_KILLED, True),
        ("TaskRunTimeout", Step(name="act", exit_code=1, reason="TaskRunTimeout"), Reason.DEADLINE_EXCEEDED, True),
        ("TaskRunImagePullFailed", Step(name="act", exit_code=1), Reason.IMAGE_PULL_BACK_OFF, False),
        ("PodCreationFailed", None, Reason.CONFIGURATION_ERROR, False),
        ("CreateContainerConfigError", None, Reason.CONFIGURATION_ERROR, False),
        ("PodAdmissionFailed", None, Reason.FORBIDDEN, False),
        ("PodEvicted", Step(name="act", running=True), Reason.RESOURCE_EXHAUSTED, True),
        ("ExceededResourceQuota", None, Reason.RESOURCE_EXHAUSTED, False),
        ("TaskRunResolutionFailed", None, Reason.CONFIGURATION_ERROR, False),
        ("SomethingNew", Step(name="act", exit_code=2), Reason.UNKNOWN, True),
    ],
)
def test_failed_task_run(task_reason: str, step: Step | None, expected: FailureReason, started: bool) -> None:
    steps = () if step is None else (step,)
    task = TaskRun(name="t", pipeline_task="act", index=0, succeeded=False, reason=task_reason, steps=steps)
    details = explain_failure(failed(), [task], NOW)
    assert (details.reason, details.started) == (expected, started)
    assert details.summary.endswith(".")


@pytest.mark.parametrize("reason", ["CouldntGetPipeline", "ParameterMissing", "PipelineInvalidGraph"])
def test_refused_before_any_task(reason: str) -> None:
    details = explain_failure(failed(reason, message="manifest unknown"), [], NOW)
    assert (details.reason, details.started) == (FailureReason.CONFIGURATION_ERROR, False)
    assert "manifest unknown" in details.summary


def test_timeout_of_the_run() -> None:
    cancelled = failed_task("TaskRunCancelled", exit_code=1)
    details = explain_failure(failed("PipelineRunTimeout"), [cancelled], NOW)
    assert (details.reason, details.started) == (FailureReason.DEADLINE_EXCEEDED, True)


def test_unknown_past_counts_as_started() -> None:
    assert had_started(failed("Failed"), []) is True


def test_a_word_inside_another_is_no_class() -> None:
    task = failed_task("StepFailed", message="the zoom level was wrong")
    assert explain_failure(failed(message="zoom"), [task], NOW).reason is FailureReason.TASK_FAILED


@pytest.mark.parametrize(
    ("reason", "message", "expected", "condition", "permanent"),
    [
        ("Forbidden", "exceeded quota: runs", Reason.RESOURCE_EXHAUSTED, "QuotaExceeded", False),
        ("Forbidden", 'User "x" cannot create resource', Reason.FORBIDDEN, "RBACDenied", False),
        ("Invalid", "spec.timeouts: Invalid value", Reason.CONFIGURATION_ERROR, "PipelineCreationFailed", True),
        ("Invalid", "ValidatingAdmissionPolicy 'x' denied request", Reason.UNKNOWN, "PipelineCreationFailed", False),
        ("NotFound", 'namespaces "x" not found', Reason.UNKNOWN, "PipelineCreationFailed", False),
        ("ResourceAbsent", "404", Reason.UNKNOWN, "PipelineCreationFailed", False),
    ],
)
def test_refused_creation(reason: str, message: str, expected: FailureReason, condition: str, permanent: bool) -> None:
    refused = refusal(reason, message)
    assert (refused.reason, refused.condition_reason, refused.permanent) == (expected, condition, permanent)
