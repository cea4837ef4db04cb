"""Look ahead: read what Redis says a key is about while its execution is still on its way from the API server.

A shortcut, never a source: what was read ahead counts only when it belongs to the execution that then arrives, and a
run only when there was one. All else is read again afterwards, in the order that decisions need.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from models.execution import Engine, Execution
from models.hold import HoldView, Known, Mine
from models.keys import Key
from models.run import Run
from models.status import Phase
from models.target import run_name
from tasks.ports import Ports

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ahead:
    """What was known about a key before its execution was read; empty when nothing was."""

    known: Known | None = None
    run: Run | None = None

    def fits(self, execution: Execution) -> bool:
        """Say whether this was read about that execution."""
        known = self.known
        return known is not None and (known.uid, known.target) == (execution.uid, execution.spec.target)

    def hold_of(self, execution: Execution) -> HoldView | None:
        """Return how the target's hold looked, None when it has to be asked for."""
        return self.known.view if self.known is not None and self.fits(execution) else None

    def run_of(self, execution: Execution) -> Run | None:
        """Return the run of its kind that stood under the target's name, None when it has to be asked for."""
        run = self.run if self.fits(execution) else None
        return run if run is not None and run.engine is execution.spec.engine else None


def look_ahead(key: Key, ports: Ports) -> Ahead:
    """Read the hold of whoever has this key, and his PipelineRun; a failure here is left to the proper reads."""
    try:
        known = ports.holds.known(key)
        if known is None or not isinstance(known.view, Mine):
            return Ahead(known)
        return Ahead(known, ports.runs.get(run_name(known.target), Engine.TEKTON))
    except Exception:
        log.debug("%s: nothing read ahead", key, exc_info=True)
        return Ahead()


@dataclass(frozen=True, slots=True)
class OtherKind:
    """A look for a run of the other kind that began beside the pass; `answer` waits for it."""

    asked_at: datetime
    answer: Callable[[], Run | None]


def ask_before_creation(execution: Execution, now: datetime, ports: Ports) -> OtherKind | None:
    """Begin to ask what a first creation that may be near has to know: the freeze, and a run of the other kind."""
    status = execution.status
    if status.phase is not Phase.PENDING or status.failures or execution.deleted_at is not None:
        return None
    ports.aside(ports.surroundings.freeze)  # kept in memory: the creation asks again, and seldom waits for it
    name, other = run_name(execution.spec.target), execution.spec.engine.other
    return OtherKind(now, ports.aside(lambda: ports.runs.get(name, other)))
