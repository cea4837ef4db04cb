"""What a run is told to do: by its annotations, else by the name of its bundle."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from devcluster.scripted import go_duration
from devcluster.scripted.direction import Direction, Ending, direction_of

PREFIX = "devcluster.kubernaut.ai/"


def run(bundle: str = "127.0.0.1:5000/x/restart:v1", **annotations: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "r", "annotations": {PREFIX + k.replace("_", "-"): v for k, v in annotations.items()}},
        "spec": {"pipelineRef": {"resolver": "bundles", "params": [{"name": "bundle", "value": bundle}]}},
    }


def test_without_any_direction_a_run_succeeds() -> None:
    assert direction_of(run()) == Direction()
    assert direction_of({"metadata": {"name": "r"}, "spec": {}}) == Direction()


def test_annotations_direct_a_run() -> None:
    told = direction_of(
        run(outcome="exit", exit_code="3", duration="1m30s", message="boom", tasks="2", task="task-2"),
    )
    assert told == Direction(Ending.EXIT, 3, timedelta(seconds=90), "boom", 2, "task-2")
    assert [told.of(name) for name in told.task_names()] == [Ending.SUCCESS, Ending.EXIT]


@pytest.mark.parametrize(
    ("last_part", "told"),
    [
        ("outcome-success-200ms:v1", Direction(duration=timedelta(milliseconds=200))),
        ("outcome-exit-3:v1", Direction(Ending.EXIT, 3)),
        ("outcome-exit-3-1s-tasks-2", Direction(Ending.EXIT, 3, timedelta(seconds=1), tasks=2)),
        ("outcome-exit-500ms", Direction(Ending.EXIT, duration=timedelta(milliseconds=500))),
        ("outcome-oom:v1", Direction(Ending.OOM)),
        ("outcome-image-pull", Direction(Ending.IMAGE_PULL)),
        ("outcome-bundle-missing", Direction(Ending.BUNDLE_MISSING)),
        ("outcome-hang@sha256:" + 64 * "0", Direction(Ending.HANG)),
        ("outcome-account-missing", Direction(Ending.ACCOUNT_MISSING)),
        ("outcome-parameter-missing", Direction(Ending.PARAMETER_MISSING)),
        ("outcome-unheard-of", Direction()),
        ("success", Direction()),
    ],
)
def test_the_bundle_directs_a_run_without_an_outcome(last_part: str, told: Direction) -> None:
    assert direction_of(run(f"127.0.0.1:5000/scripted/{last_part}")) == told


def test_an_outcome_annotation_wins_over_the_bundle() -> None:
    assert direction_of(run("h/outcome-oom", outcome="success")).ending is Ending.SUCCESS


@pytest.mark.parametrize("wrong", [{"outcome": "explode"}, {"duration": "soon"}, {"exit_code": "x"}, {"tasks": "two"}])
def test_a_wrong_annotation_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong.values()))):
        direction_of(run(**wrong))


@pytest.mark.parametrize("text", ["50ms", "1.5s", "5s", "1m30s", "30m0s", "1h0m0s", "26h3m0.25s", "0s"])
def test_go_durations_are_read_and_written_alike(text: str) -> None:
    assert go_duration.text(go_duration.parse(text)) == text


@pytest.mark.parametrize("text", ["", "5", "s", "1m x", "-1s", "1d"])
def test_what_is_no_go_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        go_duration.parse(text)
