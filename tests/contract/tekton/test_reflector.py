"""Following runs when the API server has forgotten where we were."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devcluster.cluster import Cluster
from devcluster.scripted.connection import Client, Server
from devcluster.scripted.reflector import Reflector

NAMESPACE = "reflected-runs"
RUNS = f"/apis/tekton.dev/v1/namespaces/{NAMESPACE}/pipelineruns"
FORGOTTEN = "1"


@pytest.fixture
def client(api_cluster: Cluster) -> Iterator[Client]:
    """Give a client, and one run named `there`."""
    api_cluster.ensure_runner(NAMESPACE, "runner")
    given = Client(Server.read(api_cluster.kubeconfig))
    spec = {"pipelineRef": {"name": "none"}}
    document = {"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": {"name": "there"}, "spec": spec}
    given.request("POST", RUNS, document)
    yield given
    given.request("DELETE", f"{RUNS}/there")
    given.close()


def test_after_410_it_lists_again_and_tells_what_has_gone(client: Client) -> None:
    (told,) = client.stream(f"{RUNS}?watch=1&resourceVersion={FORGOTTEN}", 60.0)
    assert told["object"]["code"] == 410, "the server still knows; the test below proves nothing"
    ghost = {"metadata": {"uid": "ghost", "name": "ghost"}}
    reflector = Reflector(client, RUNS, version=FORGOTTEN, known={"ghost": ghost})
    changes = reflector.follow()
    seen = [next(changes), next(changes)]
    assert [(change.run["metadata"]["name"], change.deleted) for change in seen] == [("ghost", True), ("there", False)]


def test_it_goes_on_watching_from_the_list(client: Client) -> None:
    changes = Reflector(client, RUNS).follow()
    assert next(changes).run["metadata"]["name"] == "there"
    client.request("PATCH", f"{RUNS}/there", {"spec": {"status": "Cancelled"}}, "application/merge-patch+json")
    changed = next(changes)
    assert (changed.deleted, changed.run["spec"]["status"]) == (False, "Cancelled")
    changes.close()
