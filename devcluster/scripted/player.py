"""Play runs: carry out each moment of a run's course when it is due.

One heap of due jobs and a few threads that take from it. A run is taken by one thread at a time; its next moment is due
at a fixed offset from its start, so a slow write does not push the rest. Due times are seconds of the monotonic clock.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeAlias

from devcluster.scripted.connection import Client
from devcluster.scripted.course import Course, Kind, Moment, cancellation, course_of, timetable
from devcluster.scripted.reflector import Change
from devcluster.scripted.stage import Abandoned, carry_out, delete_task_runs
from devcluster.scripted.statuses import writes

OURS: Final = ("", "tekton.dev/pipeline", "devcluster.kubernaut.ai/scripted")
CANCELLING: Final = ("Cancelled", "CancelledRunFinally")

Job: TypeAlias = Callable[[], None]
log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Play:
    """One run being played; `turn` counts who took it, a job of an earlier turn is stale."""

    course: Course
    pending: deque[tuple[float, Moment]]
    at: dict[Moment, datetime] = field(default_factory=dict)
    last: Moment | None = None
    cancel: str = ""
    is_cancelled: bool = False
    is_abandoned: bool = False
    is_taken: bool = False
    turn: int = 0


class Player:
    """All runs being played."""

    def __init__(self, client: Client, *, fast: bool = False) -> None:
        """Play nothing yet; `fast` leaves TaskRuns of plain successes out."""
        self._client = client
        self._fast = fast
        self._plays: dict[str, Play] = {}
        self._jobs: list[tuple[float, int, Job]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()

    def start(self, threads: int) -> None:
        """Start the threads that carry jobs out; they end with the process."""
        for number in range(threads):
            threading.Thread(target=self._work, name=f"player-{number}", daemon=True).start()

    def observe(self, change: Change) -> None:
        """Take note of a run that is there, has changed, or is gone."""
        run = change.run
        if (run["spec"].get("managedBy") or "") not in OURS:
            return
        with self._changed:
            play = self._plays.get(run["metadata"]["uid"])
            if change.deleted:
                self._forget(run)
            elif play is not None:
                self._interrupt(play, run)
            elif not _is_over(run):
                self._begin(run)

    def _begin(self, run: Mapping[str, Any]) -> None:
        metadata = run["metadata"]
        try:
            course = course_of(run, fast=self._fast)
        except ValueError as error:
            log.error("%s/%s is not played: %s", metadata["namespace"], metadata["name"], error)
            return
        now, origin, at = datetime.now(UTC), time.monotonic(), {}
        if began := (run.get("status") or {}).get("startTime"):
            # Begun before a restart of ours: what was due meanwhile is due now.
            at[Moment(Kind.RESOLVE)] = datetime.fromisoformat(began)
            origin -= max(0.0, (now - at[Moment(Kind.RESOLVE)]).total_seconds())
        stops = ((origin + stop.after.total_seconds(), stop.moment) for stop in timetable(course))
        play = Play(course, deque(stops), at)
        self._plays[course.uid] = play
        self._interrupt(play, run)
        self._push(origin, partial(self._go_on, play, play.turn))

    def _interrupt(self, play: Play, run: Mapping[str, Any]) -> None:
        wanted = run["spec"].get("status") or ""
        if wanted in CANCELLING and not play.cancel:
            play.cancel = wanted
            if not play.is_taken:
                self._push(time.monotonic(), partial(self._go_on, play, play.turn))

    def _forget(self, run: Mapping[str, Any]) -> None:
        metadata = run["metadata"]
        if play := self._plays.pop(metadata["uid"], None):
            play.is_abandoned = True
        names = [child["name"] for child in (run.get("status") or {}).get("childReferences") or ()]
        self._delete_task_runs_later(metadata["namespace"], names, metadata["uid"])

    def _delete_task_runs_later(self, namespace: str, names: Sequence[str], uid: str) -> None:
        if names:
            self._push(time.monotonic(), partial(delete_task_runs, self._client, namespace, names, uid))

    def _push(self, due: float, job: Job) -> None:
        heapq.heappush(self._jobs, (due, next(self._order), job))
        self._changed.notify()

    def _work(self) -> None:
        while True:
            job = self._take()
            try:
                job()
            except Exception:  # a broken run must not take a thread from the others
                log.exception("a run is no longer played")

    def _take(self) -> Job:
        with self._changed:
            while True:
                wait = self._jobs[0][0] - time.monotonic() if self._jobs else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._jobs)[2]
                self._changed.wait(wait)

    def _go_on(self, play: Play, turn: int) -> None:
        with self._changed:
            if play.turn != turn or play.is_taken:
                return
            play.turn += 1
            play.is_taken = True
        while (moment := self._next(play)) is not None:
            play.at.setdefault(moment, datetime.now(UTC))
            try:
                for write in writes(play.course, moment, play.at):
                    carry_out(self._client, play.course, write)
            except Abandoned as abandoned:
                log.debug("%s", abandoned)
                play.is_abandoned = True
            play.last = moment

    def _next(self, play: Play) -> Moment | None:
        """Return the moment that is due, or let the run go until its next one."""
        with self._changed:
            now = time.monotonic()
            if play.cancel and not play.is_cancelled:
                play.is_cancelled = True
                play.pending = deque((now, moment) for moment in cancellation(play.course, play.last, play.cancel))
            if play.is_abandoned:
                # Its last TaskRun may not have been in the status of the run that was deleted.
                begun = [moment.task for moment in play.at if moment.kind is Kind.BEGIN and play.course.has_task_runs]
                names = [play.course.task_run(task) for task in begun]
                self._delete_task_runs_later(play.course.namespace, names, play.course.uid)
            elif play.pending:
                due, moment = play.pending[0]
                if due <= now:
                    play.pending.popleft()
                    return moment
                self._push(due, partial(self._go_on, play, play.turn))
            play.is_taken = False
            return None


def _is_over(run: Mapping[str, Any]) -> bool:
    conditions = (run.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Succeeded" and c["status"] != "Unknown" for c in conditions)
