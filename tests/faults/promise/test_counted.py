"""Every transition is counted once: the sum over all workers is what the API server says, across a restart too.

Counters begin at zero with their process, so what a worker had counted before it was restarted is added, as Prometheus
does.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

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
COMPLETED = ("workflowexecution_total", (("outcome", "Completed"),))
SERVICE = (("service", "workflowexecution-controller"),)


def scraped(stack: Stack, part: str) -> Samples:
    """Return the samples of ours that one process answers with."""
    text = httpx.get(stack.metrics_urls[part], timeout=60).raise_for_status().text
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
    until(lambda: phases(cluster, "default", names)["Completed"] == len(names), 180, "the good have ended", every=0.3)
    until(lambda: phases(cluster, "default", failing)["Failed"] == len(failing), 180, "the bad have failed", every=0.3)
    until(lambda: all_audited(cluster, "default", both), 180, "all is audited", every=0.3)


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
@pytest.mark.timeout(900)
def test_sum_over_workers_is_the_truth(stack: Stack) -> None:
    cluster = Cluster.connect(stack.kubeconfig)
    stem = f"counted-{int(time.time())}"
    began = counters(stack)
    good = declared(cluster, f"{stem}-a", 20, "scripted/outcome-success-50ms:v1")
    bad = declared(cluster, f"{stem}-b", 5, "scripted/outcome-exit:v1")
    one_by_one = declared(cluster, f"{stem}-c", 5, "scripted/outcome-success-50ms:v1", f"counted/deployment/{stem}")
    settled(stack, cluster, [*good, *one_by_one], bad)
    while not all(scraped(stack, name)[COMPLETED] for name in stack.workers):
        assert len(good) < 200, "one worker does nothing"
        more = declared(cluster, f"{stem}-{len(good)}", 20, "scripted/outcome-success-50ms:v1")
        settled(stack, cluster, more, [])
        good += more
    part = stack.workers[0]
    # A worker counts what it wrote right after it was written: whoever reads the cluster may be quicker.
    until_equal(lambda: facts_of(counters(stack) - began), said(cluster, [*good, *bad, *one_by_one]))
    first = counters(stack) - began
    before_restart = scraped(stack, part)
    stack.stop(part)
    stack.start(part)
    until(lambda: _answers(stack, part), 60, "the worker is back")
    again = counters(stack)
    more = declared(cluster, f"{stem}-d", 20, "scripted/outcome-success-50ms:v1")
    settled(stack, cluster, more, [])
    good += more
    told = said(cluster, [*good, *bad, *one_by_one])
    ends = len(good) + 10
    assert (told["Completed"], told["Failed"], told["runs"]) == (ends - 5, 5, ends)
    until_equal(lambda: facts_of(first + (counters(stack) - again)), told)
    total = first + (counters(stack) - again)
    # Of those one by one the first does not wait, and the others do unless they came late.
    assert ends - 4 <= total["workflowexecution_start_latency_seconds_count", ()] <= ends
    assert total["workflowexecution_finish_latency_seconds_count", ()] == ends
    assert total["workflowexecution_duration_seconds_count", (("outcome", "Completed"),)] == ends - 5
    assert total["audit_events_dropped_total", SERVICE] == 0
    assert before_restart[COMPLETED] > 0


def facts_of(total: Samples) -> dict[str, int]:
    """Return what the counters say of what `said` reads from the cluster."""
    unsent = total["audit_events_buffered_total", SERVICE] - total["audit_events_written_total", SERVICE]
    return {
        "Completed": total[COMPLETED],
        "Failed": total["workflowexecution_total", (("outcome", "Failed"),)],
        "runs": total["workflowexecution_pipelinerun_creation_total", ()],
        "unsent": unsent,
    }


def said(cluster: Cluster, names: list[str]) -> dict[str, int]:
    """Return what the API server says of these, all of whose audit is stored."""
    return {"Completed": 0, "Failed": 0, **truth(cluster, names), "unsent": 0}


def until_equal(look: Callable[[], dict[str, int]], wanted: dict[str, int]) -> None:
    seen: list[dict[str, int]] = []

    def equal() -> bool:
        seen.append(look())
        return seen[-1] == wanted

    try:
        until(equal, 30, f"the counters say {wanted}")
    except AssertionError as late:
        raise AssertionError(f"{late}: {seen[-1]}") from None


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_gauges_are_those_of_the_cluster_before_and_after_a_restart_of_the_watcher(stack: Stack) -> None:
    cluster = Cluster.connect(stack.kubeconfig)
    stem = f"gauged-{int(time.time())}"
    until(lambda: gauge(stack, "workflowexecution_running") == 0, 120, "nothing runs")
    declared(cluster, f"{stem}-r", 3, "scripted/outcome-hang:v1")
    declared(cluster, f"{stem}-w", 2, "scripted/outcome-hang:v1", f"counted/deployment/{stem}-r-0")

    def right() -> bool:
        waiting = scraped(stack, "watcher")["workflowexecution_pending", (("reason", "TargetResourceBusy"),)]
        held = gauge(stack, "workflowexecution_locks_held")
        return (gauge(stack, "workflowexecution_running"), waiting) == (3, 2) and held >= 3

    until(right, 120, "three run and two wait")
    stack.kill9("watcher")
    until(lambda: _answers(stack, "watcher") and right(), 120, "the new watcher says the same")
    until(lambda: gauge(stack, "audit_buffer_size") == 0, 120, "nothing waits in the outbox")


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
