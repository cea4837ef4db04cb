"""The stream of the freeze: a resync is asked for when it begins and when it ends, not for what else happens to it."""

from __future__ import annotations

from models.freeze import FREEZE_NAME, freeze_document
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from tests.integration.watcher.conftest import SYSTEM, Started, until


def test_beginning_and_end_ask_for_a_resync(watching: Started, cluster: Cluster) -> None:
    published = watching.published
    until(lambda: published.resyncs)
    before = published.resyncs
    path = paths.config_map(SYSTEM, FREEZE_NAME)
    made = cluster.create(paths.config_maps(SYSTEM), freeze_document("migration", "alice", SYSTEM))
    until(lambda: published.resyncs == before + 1)
    cluster.merge_patch(path, {"metadata": {"annotations": {"kubernaut.ai/freeze-audited": "true"}}})
    cluster.create(paths.config_maps(SYSTEM), {"metadata": {"name": "another"}})
    cluster.delete(path, uid=made["metadata"]["uid"])
    until(lambda: published.resyncs == before + 2)
    cluster.merge_patch(path, {"metadata": {"finalizers": None}})
    until(lambda: published.resyncs == before + 3)
    another = cluster.get(paths.config_map(SYSTEM, "another"))
    assert another is not None
    cluster.delete(paths.config_map(SYSTEM, "another"), uid=another["metadata"]["uid"])
    assert watching.watcher.problems() == []
