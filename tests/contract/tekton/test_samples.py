"""The sample bundles, published to a real registry, do with the real controller what their README says."""

from __future__ import annotations

from pathlib import Path

import pytest

from devcluster.bundle import Reference, push
from tests.contract.tekton.stage import Case, Stage

pytestmark = pytest.mark.real_tekton

BUNDLES = Path(__file__).parents[3] / "docs" / "samples" / "bundles"
TARGET = {"TARGET_RESOURCE": "default/deployment/web"}


def published(stage: Stage, name: str) -> str:
    return push(Reference(stage.registry, f"kubernaut/{name}", "v1"), BUNDLES / name).digest


def test_restart_succeeds(real_stage: Stage) -> None:
    published(real_stage, "restart")
    ended = real_stage.play(Case("restart", image="kubernaut/restart:v1", params=TARGET))
    assert ended.seen[-1] == "True/Succeeded"
    assert ended.children == (("TaskRun", "<run>-restart", "restart"),)


def test_the_annotations_of_its_tasks_make_failing_fail_in_the_second(real_stage: Stage) -> None:
    published(real_stage, "failing")
    ended = real_stage.play(Case("failing", image="kubernaut/failing:v1", params=TARGET))
    assert ended.seen[-1] == "False/Failed"
    assert ended.message == "Tasks Completed: 2 (Failed: 1, Cancelled 0), Skipped: 0"
    assert [(status, reason) for status, reason, _ in ended.task_runs] == [
        ("True", "Succeeded"),
        ("False", "StepFailed"),
    ]
    assert ended.steps[-1] == ("undo", "1 Error: error: unable to find specified revision 0 in history")


def test_a_bundle_pinned_by_its_digest_is_found(real_stage: Stage) -> None:
    digest = published(real_stage, "restart")
    ended = real_stage.play(Case("pinned", image=f"kubernaut/restart@{digest}", params=TARGET))
    assert ended.seen[-1] == "True/Succeeded"


def test_publishing_again_changes_nothing(real_stage: Stage) -> None:
    assert published(real_stage, "restart") == published(real_stage, "restart")
