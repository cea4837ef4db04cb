"""Name the pod annotations that direct the outcome of a scripted or KWOK-played run.

A test puts them on a PipelineRun (or Job pod template); Tekton copies annotations of a PipelineRun to its TaskRuns and
their pods, where the KWOK stages of ``devcluster/stages.yaml`` read them. The scripted Tekton reads the same
annotations on the PipelineRun itself. Units: durations are Go durations ("50ms", "1m30s"), exit codes decimal text.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

PREFIX: Final = "devcluster.kubernaut.ai/"

OUTCOME: Final = f"{PREFIX}outcome"
"""One of `Outcome`; absent means success."""

EXIT_CODE: Final = f"{PREFIX}exit-code"
"""Exit code of the step when the outcome is exit; absent means 1."""

DURATION: Final = f"{PREFIX}duration"
"""How long the step runs before it ends; absent means `DEFAULT_DURATION`."""

MESSAGE: Final = f"{PREFIX}message"
"""Termination message of the container; absent means empty."""

TASK: Final = f"{PREFIX}task"
"""Pipeline task that gets the outcome, the others succeed; absent means every task."""

DEFAULT_DURATION: Final = "50ms"
DEFAULT_EXIT_CODE: Final = 1
OOM_EXIT_CODE: Final = 137


class Outcome(StrEnum):
    """How a run's step ends."""

    SUCCESS = "success"
    EXIT = "exit"
    OOM = "oom"
    IMAGE_PULL = "image-pull"
    HANG = "hang"
