"""The cluster adapter on a real API server: what `tests/unit/cluster` scripts is what a server really answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TypeVar

import orjson
import pytest

from devcluster.cluster import Cluster as LocalCluster
from models.errors import Conflict, Permanent, Transient
from models.keys import Key
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from tasks.adapters.cluster_errors import AlreadyExists, Expired, ResourceAbsent, Vanished
from tests.contract.cluster.conftest import an_execution

READ = timedelta(seconds=75)
T = TypeVar("T")


def polls(seconds: float) -> Iterator[int]:
    """Count up every 50 ms until the time is over."""
    deadline = time.monotonic() + seconds
    number = 0
    while time.monotonic() < deadline:
        yield number
        number += 1
        time.sleep(0.05)


def first(found: Iterable[T | None]) -> T:
    """Return the first thing that is there."""
    return next(thing for thing in found if thing is not None)


def test_create_read_change_delete(cluster: Cluster, namespace: str) -> None:
    key = Key(namespace, "one")
    created = cluster.create(paths.executions(namespace), an_execution("one"))
    assert cluster.get(paths.execution(key)) == created
    with pytest.raises(AlreadyExists):
        cluster.create(paths.executions(namespace), an_execution("one"))
    changed = cluster.merge_patch(paths.execution(key), {"status": {"phase": "Running"}}, subresource="status")
    assert changed["status"]["phase"] == "Running"
    with pytest.raises(Conflict):
        cluster.delete(paths.execution(key), uid="another")
    assert cluster.delete(paths.execution(key), uid=created["metadata"]["uid"]) is not None
    assert cluster.get(paths.execution(key)) is None
    assert cluster.delete(paths.execution(key), uid=created["metadata"]["uid"]) is None
    with pytest.raises(Vanished):
        cluster.merge_patch(paths.execution(key), {"metadata": {"labels": {"a": "b"}}})


def test_a_patch_with_an_old_version_is_a_conflict(cluster: Cluster, namespace: str) -> None:
    path = paths.execution(Key(namespace, "raced"))
    old = cluster.create(paths.executions(namespace), an_execution("raced"))["metadata"]["resourceVersion"]
    # Not Pending, the CRD's default: a patch that changes nothing of the version it names is answered without comparing
    # that version, whenever the server's watch cache has not heard of the newer one yet.
    patch = {"metadata": {"resourceVersion": old}, "status": {"phase": "Running"}}
    cluster.merge_patch(path, patch, subresource="status")
    with pytest.raises(Conflict) as caught:
        cluster.merge_patch(path, patch, subresource="status")
    assert type(caught.value) is Conflict


def test_a_type_nobody_installed_is_told_from_an_object_nobody_made(cluster: Cluster, namespace: str) -> None:
    absent = paths.item("nobody.example/v1", "things", namespace, "one")
    with pytest.raises(ResourceAbsent):
        cluster.get(absent)
    with pytest.raises(ResourceAbsent):
        list(cluster.list(paths.collection("nobody.example/v1", "things")))
    with pytest.raises(ResourceAbsent):
        cluster.create(paths.collection("nobody.example/v1", "things", namespace), {})
    with pytest.raises(ResourceAbsent):
        cluster.get("/apis/kubernaut.ai/v1alpha1/namespaces/a/others/b")
    assert cluster.get(paths.pipeline_run(namespace, "none")) is None


def test_what_the_server_refuses_says_why(cluster: Cluster, namespace: str) -> None:
    body = an_execution("bad")
    del body["spec"]["workflowRef"]
    with pytest.raises(Permanent, match="workflowRef") as caught:
        cluster.create(paths.executions(namespace), body)
    assert caught.value.reason == "Invalid"
    with pytest.raises(Permanent) as gone:
        cluster.create(
            paths.pipeline_runs("no-such-namespace"),
            {
                "apiVersion": "tekton.dev/v1",
                "kind": "PipelineRun",
                "metadata": {"name": "a"},
                "spec": {},
            },
        )
    assert gone.value.reason == "NotFound"


def test_a_full_quota_is_permanent_and_forbidden(cluster: Cluster, namespace: str) -> None:
    hard = {"count/configmaps": "0"}
    quotas = f"/api/v1/namespaces/{namespace}/resourcequotas"
    cluster.create(quotas, {"metadata": {"name": "none"}, "spec": {"hard": hard}})
    # No quota controller runs here: the test says in its place how much is used.
    cluster.merge_patch(f"{quotas}/none", {"status": {"hard": hard, "used": hard}}, subresource="status")
    config_maps = f"/api/v1/namespaces/{namespace}/configmaps"

    def refusal(number: int) -> Permanent | None:
        try:
            cluster.create(config_maps, {"metadata": {"name": f"number-{number}"}})
        except Permanent as error:
            return error
        return None

    error = first(refusal(number) for number in polls(60))
    assert error.reason == "Forbidden"
    assert "exceeded quota" in str(error)


def test_a_user_without_rights_is_forbidden(prepared: LocalCluster, namespace: str) -> None:
    nobody = Cluster.connect(str(prepared.login("nobody")))
    with pytest.raises(Permanent, match="nobody") as caught:
        nobody.get(paths.execution(Key(namespace, "one")))
    assert caught.value.reason == "Forbidden"


def test_a_certificate_nobody_signed_is_transient(prepared: LocalCluster, cluster: Cluster) -> None:
    plain = Cluster.connect(str(prepared.kubeconfig))
    plain._session.transport._pool.ca_certs = None  # type: ignore[attr-defined]
    with pytest.raises(Transient, match="SSL"):
        plain.get("/version")


def test_lists_come_in_pages_and_selectors_reach_the_server(cluster: Cluster, namespace: str) -> None:
    for number in range(7):
        body = an_execution(f"n{number}", target=f"deployment/{number % 2}")
        body["metadata"]["labels"] = {"half": str(number % 2)}
        cluster.create(paths.executions(namespace), body)
    names = [item["metadata"]["name"] for item in cluster.list(paths.executions(namespace), limit=3)]
    assert names == [f"n{number}" for number in range(7)]
    assert len(list(cluster.list(paths.executions(namespace), label_selector="half=1"))) == 3
    selector = "spec.targetResource=deployment/0"
    assert len(list(cluster.list(paths.executions(namespace), field_selector=selector))) == 4


def test_a_watch_streams_and_closes(cluster: Cluster, namespace: str) -> None:
    page = cluster.list_page(paths.executions(namespace))
    params = {"watch": "1", "resourceVersion": page.resource_version, "allowWatchBookmarks": "true"}
    seen: list[str] = []
    first = threading.Event()
    stream = cluster.stream(paths.executions(namespace), params, read_timeout=READ)

    def read() -> None:
        with stream:
            for line in stream:
                event = orjson.loads(line)
                if event["type"] != "BOOKMARK":
                    seen.append(event["object"]["metadata"]["name"])
                    first.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    cluster.create(paths.executions(namespace), an_execution("watched"))
    assert first.wait(60)
    stream.close()
    reader.join(60)
    assert not reader.is_alive()
    assert seen == ["watched"]


def test_a_watch_from_a_version_long_gone_is_expired(cluster: Cluster, namespace: str) -> None:
    params = {"watch": "1", "resourceVersion": "1", "timeoutSeconds": "60"}
    try:
        with cluster.stream(paths.executions(namespace), params, read_timeout=READ) as stream:
            event = orjson.loads(next(iter(stream)))
    except Expired:
        return
    assert event["type"] == "ERROR", "the server keeps history from its very start: compaction has not happened"
    assert event["object"]["code"] == 410


def test_many_threads_share_one_cluster(cluster: Cluster, namespace: str) -> None:
    cluster.create(paths.executions(namespace), an_execution("shared"))
    faults: list[Exception] = []

    def read() -> None:
        try:
            for _ in range(20):
                document = cluster.get(paths.execution(Key(namespace, "shared")))
                assert document is not None
        except Exception as error:  # noqa: BLE001 - handed to the test
            faults.append(error)

    threads = [threading.Thread(target=read) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert faults == []
