"""What beat ticks, and how often. Ticks only: each task finds for itself what there is to do, and may be lost.

Names only, no import of the tasks: `beat_schedule` knows nobody. Periods in seconds. Each tick expires before the
next but one, so that ticks do not pile up while workers are away.
"""

from __future__ import annotations

from typing import Any, Final

SWEEP_PERIOD: Final = 2.0
FLUSH_PERIOD: Final = 5.0
RESYNC_PERIOD: Final = 300.0


def _tick(task: str, period: float, queue: str) -> dict[str, Any]:
    return {"task": task, "schedule": period, "options": {"queue": queue, "expires": period}}


SCHEDULE: Final[dict[str, dict[str, Any]]] = {
    "sweep": _tick("workflowexecution.sweep", SWEEP_PERIOD, "timers"),
    "flush": _tick("audit.flush", FLUSH_PERIOD, "audit"),
    "resync": _tick("workflowexecution.resync", RESYNC_PERIOD, "resync"),
}
