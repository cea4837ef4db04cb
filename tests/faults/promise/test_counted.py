"""Every transition is counted once: the sum over all workers is what the API server says, across a restart too.

Counters begin at zero with their process, so what a worker had counted before it was restarted is added, as Prometheus
does.
"""

from __future__ import annotations

import time
from collections import Counter

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cli.local import Stack
from models.keys import Key
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from tests.faults.promise.watching import all_audited, declare, phases
from tests.label_values import CLOSED
from tests.waiting import until

Samples = Counter[tuple[str, tuple[tuple[str, str], ...]]]

COUNTED = ("_total", "_count")


def scraped(stack: Stack, part: str) -> Samples:
    """Return the samples of ours that one process answers with."""
    text = httpx.get(stack.metrics_urls[part], timeout=10).raise_for_status().text
    samples: Samples = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith(("workflowexecution_", "audit_")) and not sample.name.endswith("_bucket"):
                samples[sample.name, tuple(sorted(sample.labels.items()))] = sample.value  # type: ignore[assignment]
    return samples


def counters(stack: Stack) -> Samples:
    """Return the sum over all workers of what only grows."""
    total: Samples = Counter()
    for worker in stack.workers:
        total.update({key: n for key, n in scraped(stack, worker).items() if key[0].endswith(COUNTED)})
    return total


def gauge(stack: Stack, name: str) -> float:
    return sum(value for (sample, _), value in scraped(stack, "watcher").items() if sample == name)


def settled(stack: Stack, cluster: Cluster, names: list[str], failing: list[str]) -> None:
    both = [*names, *failing]
    until(lambda: phases(cluster, "default", names)["Completed"] == len(names), 90, "the good have ended", every=0.3)
    until(lambda: phases(cluster, "default", failing)["Failed"] == len(failing), 90, "the bad have failed", every=0.3)
    until(lambda: all_audited(cluster, "default", both), 60, "all is audited", every=0.3)


def declared(cluster: Cluster, stem: str, count: int, image: str, target: str = "") -> list[str]:
    names = [f"{stem}-{number}" for number in range(count)]
    for name in names:
        declare(cluster, "default", name, target or f"counted/deployment/{name}", image)
    return names


def truth(cluster: Cluster, names: list[str]) -> Counter[str]:
    """Return what the API server says of these: ends, attempts that got a run, audit facts told."""
    found: Counter[str] = Counter()
    for name in names:
        status = (cluster.get(paths.execution(Key("default", name))) or {})["status"]
        found[status["phase"]] += 1
        found["runs"] += status["attempt"]
    return found


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_sum_over_workers_is_the_truth(stack: Stack) -> None:
    cluster = Cluster.connect(stack.kubeconfig)
    stem = f"counted-{int(time.time())}"
    began = counters(stack)
    good = declared(cluster, f"{stem}-a", 20, "scripted/outcome-success-50ms:v1")
    bad = declared(cluster, f"{stem}-b", 5, "scripted/outcome-exit:v1")
    one_by_one = declared(cluster, f"{stem}-c", 5, "scripted/outcome-success-50ms:v1", f"counted/deployment/{stem}")
    settled(stack, cluster, [*good, *one_by_one], bad)
    first = counters(stack) - began
    part = stack.workers[0]
    before_restart = scraped(stack, part)
    assert all(scraped(stack, name)["workflowexecution_total", (("outcome", "Completed"),)] for name in stack.workers)
    stack.stop(part)
    stack.start(part)
    until(lambda: _answers(stack, part), 60, "the worker is back")
    again = counters(stack)
    more = declared(cluster, f"{stem}-d", 20, "scripted/outcome-success-50ms:v1")
    settled(stack, cluster, more, [])
    total = first + (counters(stack) - again)
    named = [*good, *bad, *one_by_one, *more]
    said = truth(cluster, named)
    assert total["workflowexecution_total", (("outcome", "Completed"),)] == said["Completed"] == 45
    assert total["workflowexecution_total", (("outcome", "Failed"),)] == said["Failed"] == 5
    assert total["workflowexecution_pipelinerun_creation_total", ()] == said["runs"] == 50
    # Of those one by one the first does not wait, and the others do unless they came late.
    assert 46 <= total["workflowexecution_start_latency_seconds_count", ()] <= 50
    assert total["workflowexecution_finish_latency_seconds_count", ()] == 50
    assert total["workflowexecution_duration_seconds_count", (("outcome", "Completed"),)] == 45
    service = (("service", "workflowexecution-controller"),)
    assert total["audit_events_buffered_total", service] == total["audit_events_written_total", service]
    assert total["audit_events_dropped_total", service] == 0
    assert before_restart["workflowexecution_total", (("outcome", "Completed"),)] > 0


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_gauges_are_those_of_the_cluster_before_and_after_a_restart_of_the_watcher(stack: Stack) -> None:
    cluster = Cluster.connect(stack.kubeconfig)
    stem = f"gauged-{int(time.time())}"
    until(lambda: gauge(stack, "workflowexecution_running") == 0, 60, "nothing runs")
    declared(cluster, f"{stem}-r", 3, "scripted/outcome-hang:v1")
    declared(cluster, f"{stem}-w", 2, "scripted/outcome-hang:v1", f"counted/deployment/{stem}-r-0")

    def right() -> bool:
        waiting = scraped(stack, "watcher")["workflowexecution_pending", (("reason", "TargetResourceBusy"),)]
        held = gauge(stack, "workflowexecution_locks_held")
        return (gauge(stack, "workflowexecution_running"), waiting) == (3, 2) and held >= 3

    until(right, 60, "three run and two wait")
    stack.kill9("watcher")
    until(lambda: _answers(stack, "watcher") and right(), 60, "the new watcher says the same")
    until(lambda: gauge(stack, "audit_buffer_size") == 0, 60, "nothing waits in the outbox")


@pytest.mark.slow
def test_no_label_grows_with_use(stack: Stack) -> None:
    """After all of the above: every label value is one of a closed set, and no target or name is among them."""
    for part in ("watcher", *stack.workers):
        for name, labels in scraped(stack, part):
            for label, value in labels:
                allowed = CLOSED.get(label)
                assert "/" not in value, (name, label, value)
                assert "counted" not in value, (name, label, value)
                if label != "reason":
                    assert allowed is not None, (name, label)
                    assert value in allowed, (name, label, value)


def _answers(stack: Stack, part: str) -> bool:
    try:
        return bool(scraped(stack, part))
    except httpx.HTTPError:
        return False
