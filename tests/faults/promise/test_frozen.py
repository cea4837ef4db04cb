"""A freeze while two workers are busy: within five seconds nothing starts anywhere; its end lets everybody go on."""

from __future__ import annotations

import time

import httpx
import pytest

from cli.local import Stack
from devcluster import Cluster as LocalCluster
from models.freeze import FREEZE_NAME, freeze_document, unfreeze_patch
from models.keys import Key
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from tasks.config import DEFAULT_NAMESPACE
from tests.faults.promise.watching import RunWatch, declare, phases
from tests.waiting import until

RUNS = "kubernaut-workflows"
SOON = 15
"""Seconds; without the watcher's word they would wait for their backstop of half a minute."""
IMAGE = "scripted/outcome-success-100ms:v1"
ADMIN = "devcluster:admin"
"""Whom the cluster of the tests knows the person with its kubeconfig as; the policy of deploy/ vouches for it."""
PATH = paths.config_map(DEFAULT_NAMESPACE, FREEZE_NAME)


def _reason(cluster: Cluster, name: str) -> str:
    document = cluster.get(paths.execution(Key("default", name))) or {}
    return str((document.get("status") or {}).get("reason") or "")


@pytest.mark.timeout(600)
def test_nothing_starts_while_frozen_on_any_worker(stack: Stack, api_cluster: LocalCluster) -> None:
    cluster = Cluster.connect(str(api_cluster.kubeconfig))
    for turn in range(3):
        waited = _frozen_for_a_while(stack, cluster, f"fz-{int(time.time())}-{turn}")
        # Later than that once may be the machine's fault.
        if waited < SOON:
            return
    pytest.fail(f"nobody was woken: the last ones were started {waited:.0f} s after the end of the freeze")


def _frozen_for_a_while(stack: Stack, cluster: Cluster, stem: str) -> float:
    """Freeze, see that nothing starts, end the freeze; return how many seconds later everybody was started."""
    early = [f"{stem}-early-{number}" for number in range(6)]
    late = [f"{stem}-late-{number}" for number in range(12)]
    with RunWatch(cluster, RUNS) as runs:
        for name in early:
            declare(cluster, "default", name, f"frozen/deployment/{name}", IMAGE)
        until(lambda: phases(cluster, "default", early)["Completed"] == len(early), 120, "both workers are at work")
        frozen = cluster.create(
            paths.config_maps(DEFAULT_NAMESPACE), freeze_document("migration", ADMIN, DEFAULT_NAMESPACE)
        )
        over = time.monotonic() + 5
        until(lambda: time.monotonic() > over, 10, "every worker must have seen it by now")
        for name in late:
            declare(cluster, "default", name, f"frozen/deployment/{name}", IMAGE)
        until(lambda: all(_reason(cluster, name) == "Frozen" for name in late), 90, "all wait visibly")
        assert len(runs.created) == len(early)
        cluster.merge_patch(PATH, unfreeze_patch(ADMIN))
        cluster.delete(PATH, uid=frozen["metadata"]["uid"])
        ended = time.monotonic()
        until(lambda: len(runs.created) == len(early) + len(late), 90, "all are started")
        waited = time.monotonic() - ended
    until(lambda: phases(cluster, "default", late)["Completed"] == len(late), 120, "all have completed")
    until(lambda: cluster.get(PATH) is None, 120, "the object goes when its end is audited")
    answer = httpx.get(
        f"{stack.datastorage_url}/api/v1/audit/events",
        params={"correlation_id": f"freeze-{frozen['metadata']['uid']}", "limit": 100},
        headers=stack.reader,
        timeout=60,
    )
    told = [(event["event_type"], event["actor_id"]) for event in reversed(answer.json()["data"])]
    assert told == [("workflow.frozen", ADMIN), ("workflow.unfrozen", ADMIN)]
    return waited
