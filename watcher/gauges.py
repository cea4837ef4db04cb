"""What is true of the cluster at this instant, as gauges: who waits and why, who runs, what Redis holds.

Only the watcher that leads gives them, and only of what it has listed: so of several watchers one answers, a standby
has no sample instead of a stale one, and a restart begins with a whole list. For a moment of a change of leader two
may answer, or none: take the maximum over the watchers, never the sum. docs/metrics.md has the queries.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from models.errors import Transient
from models.status import Phase
from tasks.metrics import SERVICE
from watcher.seen import WAITS, SeenExecution

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stored:
    """What Redis holds: targets held, and audit events in the outbox."""

    holds: int
    buffered: int


class ClusterGauges(Collector):
    """Counts at each scrape; without `leading` it has nothing to say.

    `executions` is what the watch knows, None before everything was listed. `stored` may raise Transient: those two
    gauges are then absent, which is not the same as zero.
    """

    def __init__(
        self,
        leading: Callable[[], bool],
        executions: Callable[[], Sequence[SeenExecution] | None],
        stored: Callable[[], Stored],
    ) -> None:
        self._leading = leading
        self._executions = executions
        self._stored = stored

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Name the gauges without asking anybody: the registry calls this when it is given the collector."""
        return (_pending({}), _running(0), _holds(0), _buffer(0))

    def collect(self) -> Iterator[GaugeMetricFamily]:
        if not self._leading():
            return
        seen = self._executions()
        if seen is not None:
            yield _pending(Counter(execution.wait for execution in seen if execution.phase is Phase.PENDING))
            yield _running(sum(execution.phase is Phase.RUNNING for execution in seen))
        try:
            stored = self._stored()
        except Transient as fault:
            log.warning("gauges of Redis left out", extra={"error": str(fault)})
            return
        yield _holds(stored.holds)
        yield _buffer(stored.buffered)


def _pending(by_reason: Counter[str] | dict[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        "workflowexecution_pending", "Executions that have not started, by what they wait for.", labels=["reason"]
    )
    for reason in WAITS:
        family.add_metric([reason], by_reason.get(reason, 0))
    return family


def _running(count: int) -> GaugeMetricFamily:
    return GaugeMetricFamily("workflowexecution_running", "Executions in phase Running, between attempts too.", count)


def _holds(count: int) -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "workflowexecution_locks_held", "Targets held: running, resting, retrying, blocked.", count
    )


def _buffer(count: int) -> GaugeMetricFamily:
    family = GaugeMetricFamily("audit_buffer_size", "Audit events in the outbox, not yet stored.", labels=["service"])
    family.add_metric([SERVICE], count)
    return family
