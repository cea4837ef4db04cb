"""Lay out a run's course: which moment comes when.

Pure. A course is everything about one run that does not change; its timetable is a sequence of moments, each with its
offset from the first. What is written at a moment is decided in `devcluster.scripted.statuses`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

from devcluster.scripted import go_duration
from devcluster.scripted.direction import Direction, Ending, bundle_of, direction_of

DEFAULT_TIMEOUT: Final = timedelta(hours=1)  # Tekton's default-timeout-minutes


class Kind(StrEnum):
    """What happens at a moment."""

    RESOLVE = "resolve"
    BEGIN = "begin"
    STEP = "step"
    END = "end"
    FINISH = "finish"
    STOPPING = "stopping"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed-out"


@dataclass(frozen=True, slots=True)
class Moment:
    """One point of a run's course; `task` counts pipeline tasks from 0."""

    kind: Kind
    task: int = 0


@dataclass(frozen=True, slots=True)
class Stop:
    """A moment and how long after the start of the course it comes."""

    after: timedelta
    moment: Moment


@dataclass(frozen=True, slots=True)
class Course:
    """One run: who it is, what it was told, what bounds it."""

    namespace: str
    name: str
    uid: str
    direction: Direction
    bundle: str
    is_remote: bool
    timeout: timedelta | None
    service_account: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    fast: bool = False

    def task_run(self, task: int) -> str:
        """Name the TaskRun of a pipeline task."""
        return f"{self.name}-{self.direction.task_names()[task]}"

    @property
    def has_task_runs(self) -> bool:
        """Tell whether TaskRuns are created; a fast plain success does without."""
        return not self.direction.ending.is_before_run and not (self.fast and self.direction.ending is Ending.SUCCESS)


def course_of(run: Mapping[str, Any], *, fast: bool = False) -> Course:
    """Read a PipelineRun's course.

    Raises:
        ValueError: its annotations or its timeout cannot be read.
    """
    metadata, spec = run["metadata"], run["spec"]
    timeout = go_duration.parse(((spec.get("timeouts") or {}).get("pipeline")) or "1h")
    return Course(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        direction=direction_of(run),
        bundle=bundle_of(run),
        is_remote="resolver" in (spec.get("pipelineRef") or {}),
        timeout=timeout or None,
        service_account=(spec.get("taskRunTemplate") or {}).get("serviceAccountName") or "default",
        labels=metadata.get("labels") or {},
        annotations=metadata.get("annotations") or {},
        fast=fast,
    )


def timetable(course: Course) -> tuple[Stop, ...]:
    """Return the stops of a course that nobody interrupts, in order; the last one ends it unless it hangs."""
    stops = [*_opening(course), *_tasks(course)]
    if course.timeout is None or (_is_closed(stops) and stops[-1].after < course.timeout):
        return tuple(stops)
    kept = tuple(stop for stop in stops if stop.after < course.timeout)
    return (*kept, Stop(course.timeout, Moment(Kind.TIMED_OUT, kept[-1].moment.task if kept else 0)))


def cancellation(course: Course, last: Moment | None, spec_status: str) -> tuple[Moment, ...]:
    """Return what follows when ``spec.status`` is set after a moment; nothing for a run that has ended."""
    if last is not None and last.kind in (Kind.FINISH, Kind.CANCELLED, Kind.TIMED_OUT):
        return ()
    task = last.task if last else 0
    if spec_status == "Cancelled" or last is None or last.kind is Kind.RESOLVE:
        return (Moment(Kind.CANCELLED, task),)
    return (Moment(Kind.STOPPING, task), Moment(Kind.CANCELLED, task))


def _is_closed(stops: list[Stop]) -> bool:
    return bool(stops) and stops[-1].moment.kind in (Kind.FINISH, Kind.CANCELLED, Kind.TIMED_OUT)


def _opening(course: Course) -> list[Stop]:
    return [Stop(timedelta(0), Moment(Kind.RESOLVE))] if course.is_remote and not course.fast else []


def _tasks(course: Course) -> list[Stop]:
    direction = course.direction
    if direction.ending.is_before_run:
        return [Stop(timedelta(0), Moment(Kind.FINISH))]
    stops: list[Stop] = []
    now = timedelta(0)
    for task, name in enumerate(direction.task_names()):
        ending = direction.of(name)
        stops.append(Stop(now, Moment(Kind.BEGIN, task)))
        if ending is not Ending.ACCOUNT_MISSING:
            if course.has_task_runs:
                stops.append(Stop(now, Moment(Kind.STEP, task)))
            now += direction.duration
        if ending is Ending.HANG:
            return stops
        if ending is Ending.TIMEOUT:
            return [*stops, Stop(now, Moment(Kind.TIMED_OUT, task))]
        if ending is Ending.CANCEL:
            return [*stops, Stop(now, Moment(Kind.STOPPING, task)), Stop(now, Moment(Kind.CANCELLED, task))]
        if course.has_task_runs:
            stops.append(Stop(now, Moment(Kind.END, task)))
        if ending is not Ending.SUCCESS:
            return [*stops, Stop(now, Moment(Kind.FINISH, task))]
    return [*stops, Stop(now, Moment(Kind.FINISH, len(direction.task_names()) - 1))]
