"""Read what a run is told to do: its annotations, or the name of its bundle.

Pure: a PipelineRun's JSON in, a `Direction` out. Annotations win over the bundle's name; see the package for both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

from devcluster import annotations as words
from devcluster.scripted import go_duration

TASKS: Final = f"{words.PREFIX}tasks"
"""How many pipeline tasks the run has, in sequence; absent means 1."""


DEFAULT_DURATION: Final = go_duration.parse(words.DEFAULT_DURATION)


class Ending(StrEnum):
    """How a run, or one task of it, ends."""

    SUCCESS = "success"
    EXIT = "exit"
    OOM = "oom"
    IMAGE_PULL = "image-pull"
    HANG = "hang"
    BUNDLE_MISSING = "bundle-missing"
    PARAMETER_MISSING = "parameter-missing"
    ACCOUNT_MISSING = "account-missing"
    TIMEOUT = "timeout"
    CANCEL = "cancel"

    @property
    def is_before_run(self) -> bool:
        """Tell whether Tekton refuses the run before it creates any TaskRun."""
        return self in (Ending.BUNDLE_MISSING, Ending.PARAMETER_MISSING)


@dataclass(frozen=True, slots=True)
class Direction:
    """What a run is told to do."""

    ending: Ending = Ending.SUCCESS
    exit_code: int = words.DEFAULT_EXIT_CODE
    duration: timedelta = DEFAULT_DURATION
    message: str = ""
    tasks: int = 1
    only_task: str | None = None

    def task_names(self) -> tuple[str, ...]:
        """Name the pipeline tasks in their order."""
        return tuple(f"task-{number}" for number in range(1, self.tasks + 1))

    def of(self, task: str) -> Ending:
        """Return how one pipeline task ends."""
        return self.ending if self.only_task in (None, task) else Ending.SUCCESS


_BUNDLE: Final = re.compile(
    rf"outcome-(?P<ending>{'|'.join(Ending)})(?:-(?P<code>\d+))?(?:-(?P<duration>[\d.]+(?:ms|m|s|h)))?(?:-tasks-(?P<tasks>\d+))?"
)


def direction_of(run: Mapping[str, Any]) -> Direction:
    """Read the direction of a PipelineRun.

    Raises:
        ValueError: an annotation has a value that is not allowed.
    """
    given = run["metadata"].get("annotations") or {}
    if words.OUTCOME not in given and (match := _BUNDLE.fullmatch(_bundle_name(run))):
        return Direction(
            ending=Ending(match["ending"]),
            exit_code=int(match["code"] or words.DEFAULT_EXIT_CODE),
            duration=go_duration.parse(match["duration"] or words.DEFAULT_DURATION),
            tasks=int(match["tasks"] or 1),
        )
    return Direction(
        ending=Ending(given.get(words.OUTCOME, Ending.SUCCESS)),
        exit_code=int(given.get(words.EXIT_CODE, words.DEFAULT_EXIT_CODE)),
        duration=go_duration.parse(given.get(words.DURATION, words.DEFAULT_DURATION)),
        message=given.get(words.MESSAGE, ""),
        tasks=int(given.get(TASKS, 1)),
        only_task=given.get(words.TASK),
    )


def bundle_of(run: Mapping[str, Any]) -> str:
    """Return the bundle reference of a run, or nothing when it has none."""
    for param in (run["spec"].get("pipelineRef") or {}).get("params") or ():
        if param["name"] == "bundle":
            return str(param["value"])
    return ""


def _bundle_name(run: Mapping[str, Any]) -> str:
    last = bundle_of(run).rpartition("/")[2]
    return last.partition("@")[0].partition(":")[0]
