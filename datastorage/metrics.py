"""What DataStorage counts. The registry is given, so that a test has its own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from datastorage.callers import Reason

_SERVICE = "datastorage"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The metrics of one service; those of the contract carry the label `service`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry

        def counter(name: str, about: str) -> Counter:
            return Counter(name, about, ["service"], registry=registry).labels(_SERVICE)

        self.written = counter("audit_events_written_total", "Events stored.")
        self.resent = counter("audit_events_resent_total", "Events that were stored already and came again.")
        self.conflicts = counter("audit_event_conflicts_total", "Requests with a taken event_id and another content.")
        self.failed = counter("audit_batches_failed_total", "Writes that the database did not take.")
        self.checkpoints = counter("audit_checkpoints_total", "Signed checkpoints taken.")
        self.checkpoints_failed = counter("audit_checkpoints_failed_total", "Checkpoints that could not be taken.")
        refused = Counter(
            "datastorage_auth_refused_total", "Requests refused for who sent them.", ["reason"], registry=registry
        )
        self.refused = {reason: refused.labels(reason.value) for reason in Reason}
        self.months_removed = counter("audit_months_removed_total", "Months that retention removed.")
        self.months_refused = counter(
            "audit_months_refused_total", "Months kept because an event was changed or a hold taken away."
        )
        self.write_seconds = Histogram(
            "audit_write_duration_seconds",
            "One transaction of events.",
            ["service"],
            buckets=_SECONDS,
            registry=registry,
        ).labels(_SERVICE)
        # No sample where the events are not divided by month.
        self._partitions = Gauge(
            "audit_partitions_ahead",
            "Months behind the present one that have a partition; -1 when the present one has none.",
            ["service"],
            registry=registry,
        )
        self.requests = Counter(
            "datastorage_http_requests_total", "Requests answered.", ["method", "route", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            "datastorage_http_request_duration_seconds",
            "From the first byte of the request to the last of the answer.",
            ["method", "route"],
            buckets=_SECONDS,
            registry=registry,
        )

    def tell_partitions(self, ahead: int) -> None:
        """Say how many months have a partition already."""
        self._partitions.labels(_SERVICE).set(ahead)
