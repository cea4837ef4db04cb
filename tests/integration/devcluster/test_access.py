"""Who gets in: verified certificates both ways, RBAC on, nothing open but loopback."""

from __future__ import annotations

import json
import ssl
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from devcluster import Cluster, cluster

Until = Callable[[Callable[[], object], str], None]

NAMESPACES = "/api/v1/namespaces"


@pytest.fixture(scope="module")
def neighbour(api_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Give a second cluster beside the first one, on another address of this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WFE_STATE_DIR", str(tmp_path_factory.mktemp("neighbour")))
        with cluster.start("api", name="neighbour", listen="127.0.0.2") as started:
            yield started


def trusting(started: Cluster) -> ssl.SSLContext:
    """Trust the authority of a cluster, and no other."""
    return ssl.create_default_context(cafile=str(started.directory / "pki" / "ca.crt"))


def presenting(context: ssl.SSLContext, started: Cluster) -> ssl.SSLContext:
    """Show the administrator's certificate of a cluster."""
    context.load_cert_chain(started.directory / "pki" / "admin.crt", started.directory / "pki" / "admin.key")
    return context


def ask(started: Cluster, context: ssl.SSLContext) -> httpx.Response:
    """Ask a cluster for its namespaces."""
    return httpx.get(started.server + NAMESPACES, verify=context, trust_env=False)


def test_two_clusters_know_nothing_of_each_other(api_cluster: Cluster, neighbour: Cluster) -> None:
    neighbour.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "only-here"}}])
    for started, expected in ((api_cluster, False), (neighbour, True)):
        answer = ask(started, presenting(trusting(started), started))
        assert ("only-here" in [item["metadata"]["name"] for item in answer.json()["items"]]) is expected


def test_the_server_proves_who_it_is(api_cluster: Cluster, neighbour: Cluster) -> None:
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        ask(neighbour, trusting(api_cluster))
    assert neighbour.server.startswith("https://127.0.0.2:")
    assert ask(neighbour, presenting(trusting(neighbour), neighbour)).status_code == httpx.codes.OK


def test_a_certificate_of_another_authority_is_nobody(api_cluster: Cluster, neighbour: Cluster) -> None:
    assert ask(neighbour, presenting(trusting(neighbour), api_cluster)).status_code == httpx.codes.UNAUTHORIZED


def test_without_a_certificate_nothing_is_allowed(api_cluster: Cluster) -> None:
    answer = ask(api_cluster, trusting(api_cluster))
    assert answer.status_code == httpx.codes.FORBIDDEN
    assert "system:anonymous" in answer.json()["message"]


def test_another_user_has_the_rights_that_rbac_gives(api_cluster: Cluster, until: Until) -> None:
    def can_read() -> bool:
        command = [str(api_cluster.kubectl), f"--kubeconfig={jane}", "get", "namespaces"]
        return subprocess.run(command, capture_output=True, timeout=60).returncode == 0

    jane = api_cluster.login("jane", ["devcluster-readers"])
    assert not can_read()
    group = "rbac.authorization.k8s.io"
    role: dict[str, object] = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "devcluster-readers"},
        "rules": [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list"]}],
    }
    binding: dict[str, object] = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "devcluster-readers"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "devcluster-readers"},
        "subjects": [{"apiGroup": group, "kind": "Group", "name": "devcluster-readers"}],
    }
    api_cluster.apply([role, binding])
    # The authoriser hears of the binding by a watch.
    until(can_read, "the binding has no effect")


def test_keys_are_for_their_owner_and_nothing_is_left_unverified(api_cluster: Cluster) -> None:
    config = yaml.safe_load(api_cluster.kubeconfig.read_text())
    assert set(config["clusters"][0]["cluster"]) == {"server", "certificate-authority-data"}
    keys: list[Path] = [api_cluster.kubeconfig, *(api_cluster.directory / "pki").glob("*.key")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}
    assert stat.S_IMODE(api_cluster.directory.stat().st_mode) == 0o700


def test_nothing_listens_beyond_loopback(api_cluster: Cluster, pids: Callable[[Path], list[int]]) -> None:
    assert listening(pids(api_cluster.directory)) == {"127.0.0.1"}


def listening(processes: list[int]) -> set[str]:
    """Return the addresses on which processes listen."""
    sockets = [each for pid in processes for each in psutil.Process(pid).net_connections("inet")]
    return {each.laddr.ip for each in sockets if each.status == psutil.CONN_LISTEN}


def test_the_audit_log_names_who_did_what(api_cluster: Cluster, until: Until) -> None:
    api_cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "audited"}}])
    assert api_cluster.audit_log is not None
    until(lambda: creations(api_cluster.audit_log), "the log does not name the creation")  # written after the answer
    (found,) = creations(api_cluster.audit_log)
    assert found["user"]["username"] == "devcluster:admin"
    assert found["responseStatus"]["code"] == httpx.codes.CREATED


def creations(log: Path | None) -> list[dict[str, Any]]:
    """Return what the audit log has of the namespace; its last line may be written just now."""
    assert log is not None
    lines = [json.loads(line) for line in log.read_text().rpartition("\n")[0].splitlines()]
    return [line for line in lines if line["verb"] == "patch" and line["objectRef"].get("name") == "audited"]
