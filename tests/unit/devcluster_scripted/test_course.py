"""Which moment of a run comes when."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from devcluster.scripted.course import Kind, Moment, cancellation, course_of, timetable

PREFIX = "devcluster.kubernaut.ai/"


def run(timeout: str | None = "30m", **annotations: str) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "runs",
            "name": "wfe-1",
            "uid": "u",
            "annotations": {PREFIX + k: v for k, v in annotations.items()},
        },
        "spec": {
            "pipelineRef": {"resolver": "bundles", "params": [{"name": "bundle", "value": "h/x:v1"}]},
            "timeouts": {"pipeline": timeout} if timeout else None,
        },
    }


def laid_out(fast: bool = False, /, timeout: str | None = "30m", **annotations: str) -> list[tuple[int, str, int]]:
    stops = timetable(course_of(run(timeout, **annotations), fast=fast))
    return [(round(s.after / timedelta(milliseconds=1)), s.moment.kind.value, s.moment.task) for s in stops]


def test_a_success_is_resolved_begins_steps_ends_and_finishes() -> None:
    assert laid_out() == [(0, "resolve", 0), (0, "begin", 0), (0, "step", 0), (50, "end", 0), (50, "finish", 0)]


def test_tasks_follow_each_other_until_one_fails() -> None:
    told = {"outcome": "exit", "tasks": "3", "task": "task-2", "duration": "1s"}
    assert laid_out(**told) == [
        (0, "resolve", 0),
        (0, "begin", 0),
        (0, "step", 0),
        (1000, "end", 0),
        (1000, "begin", 1),
        (1000, "step", 1),
        (2000, "end", 1),
        (2000, "finish", 1),
    ]


@pytest.mark.parametrize("outcome", ["bundle-missing", "parameter-missing"])
def test_what_is_refused_before_the_run_has_no_task(outcome: str) -> None:
    assert laid_out(outcome=outcome) == [(0, "resolve", 0), (0, "finish", 0)]


def test_a_missing_account_never_steps() -> None:
    assert [kind for _, kind, _ in laid_out(outcome="account-missing")] == ["resolve", "begin", "end", "finish"]


def test_a_hanging_run_times_out_at_its_own_timeout_only() -> None:
    assert laid_out(outcome="hang", timeout="2s")[-1] == (2000, "timed-out", 0)
    assert laid_out(outcome="hang", timeout="0")[-1] == (0, "step", 0)
    assert laid_out(outcome="hang", timeout=None)[-1] == (3_600_000, "timed-out", 0), "Tekton's default"


def test_a_run_that_takes_longer_than_its_timeout_times_out_in_the_task_it_has_come_to() -> None:
    assert laid_out(tasks="3", duration="2s", timeout="3s")[-2:] == [(2000, "step", 1), (3000, "timed-out", 1)]


def test_fast_successes_do_without_task_runs_and_resolution_but_failures_do_not() -> None:
    assert laid_out(True) == [(0, "begin", 0), (50, "finish", 0)]
    assert [kind for _, kind, _ in laid_out(True, outcome="oom")] == ["begin", "step", "end", "finish"]


@pytest.mark.parametrize("outcome", ["timeout", "cancel"])
def test_a_directed_timeout_or_cancel_comes_after_the_duration(outcome: str) -> None:
    last = {"timeout": "timed-out", "cancel": "cancelled"}[outcome]
    assert laid_out(outcome=outcome, duration="1s")[-1] == (1000, last, 0)


def test_a_gentle_cancel_goes_through_running_finally_and_a_hard_one_does_not() -> None:
    course, step = course_of(run()), Moment(Kind.STEP, 1)
    stopping, cancelled = Moment(Kind.STOPPING, 1), Moment(Kind.CANCELLED, 1)
    assert cancellation(course, step, "CancelledRunFinally") == (stopping, cancelled)
    assert cancellation(course, step, "Cancelled") == (cancelled,)


def test_a_cancel_before_any_task_needs_no_stopping_and_one_after_the_end_changes_nothing() -> None:
    course = course_of(run())
    assert cancellation(course, None, "CancelledRunFinally") == (Moment(Kind.CANCELLED, 0),)
    assert cancellation(course, Moment(Kind.RESOLVE), "CancelledRunFinally") == (Moment(Kind.CANCELLED, 0),)
    for over in (Kind.FINISH, Kind.CANCELLED, Kind.TIMED_OUT):
        assert cancellation(course, Moment(over), "CancelledRunFinally") == ()
