"""A worker whose API server refuses everything and quotes a secret parameter: who reads its log learns of the refusal.

So do those who read its task events, which is what Flower shows, and Kubernetes Events.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from devcluster.cluster import Cluster as LocalCluster
from models.errors import ExecutorError
from models.execution import read_execution
from models.keys import Key
from models.manifest import run_manifest
from models.names import API_VERSION, GROUP, KIND, PLURAL
from models.policy import Policy
from models.settings import parse_settings
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from tasks.app import RECONCILE, RESYNC, RESYNC_TASK, build_app
from tests.integration.worker.conftest import CRD, WORKER, Start
from tests.stack_plugin import clear
from tests.waiting import until

ADMISSION = "/apis/admissionregistration.k8s.io/v1"
NAMESPACE = "confidential"
RUNS = Policy().namespace
SECRET = "correct-horse-battery-staple"
PARAMETERS = {"DB_PASSWORD": SECRET, "GRACE": "30"}


@pytest.fixture
def cluster(api_cluster: LocalCluster) -> Iterator[Cluster]:
    api_cluster.apply(CRD)
    api_cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n}} for n in (NAMESPACE, RUNS)])

    def empty() -> None:
        until(lambda: _done(lambda: clear(str(api_cluster.kubeconfig))), 60, "nothing is left on the cluster")

    empty()
    yield Cluster.connect(str(api_cluster.kubeconfig))
    empty()  # once the policies of the test are forgotten


@pytest.mark.timeout(400)
def test_nobody_reads_a_secret_that_admission_quotes(
    cluster: Cluster, api_cluster: LocalCluster, start_python: Start, redis_server: Any
) -> None:
    key, run = _declare(cluster, "refused"), _leave_run(cluster, _declare(cluster, "gone"))
    app = build_app(parse_settings({"redis": {"url": redis_server.url}}, {}, {}))
    told: list[dict[str, Any]] = []
    with _quoting(cluster, key, run), app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": told.append})
        with receiver.consumer_context() as (stream, _, _):
            _, log = start_python(api_cluster.kubeconfig, "-m", "celery", *WORKER)
            until(lambda: " ready." in log.read_text(), 90, "the worker is ready")
            app.send_task(RESYNC_TASK, queue=RESYNC)

            def hears(what: str, field: str) -> bool:
                with contextlib.suppress(TimeoutError):
                    stream.drain_events(timeout=1)
                return any(what in event.get(field, "") for event in told)

            until(lambda: hears("the password", "exception"), 60, "the run that nobody may delete fails a resync")
            until(lambda: hears(f"('{key}',)", "args"), 60, "a pass of the execution is told")
        until(lambda: f"{key}: refused, tried again" in log.read_text(), 60, "a pass was refused")
        until(lambda: "the password" in _events_of(cluster, key), 60, "the execution says so")
        events = _events_of(cluster, key)
    written = log.read_text().rpartition("\n")[0]  # it is being written: the last line may not be whole
    lines = [json.loads(line) for line in written.splitlines() if line.startswith("{")]
    refused = [line["msg"] for line in lines if line["msg"].startswith(f"{key}: refused")]
    assert refused
    assert all("the password *** is too old for the execution" in message for message in refused)
    assert any("the password *** is too old for the run" in event.get("exception", "") for event in told)
    passes = [event["args"] for event in told if event.get("name") == RECONCILE]
    assert all(re.fullmatch(r"\('[^/']+/[^/']+',\)", arguments) for arguments in passes), "they are keys, no more"
    assert "the password *** is too old" in events
    for text in (log.read_text(), str(told), events):
        assert SECRET not in text


def _declare(cluster: Cluster, name: str) -> Key:
    body = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "remediationRequestRef": {"name": name},
            "workflowRef": {"workflowId": "w", "version": "1", "containerImage": "registry.example/w:1"},
            "targetResource": f"{NAMESPACE}/deployment/{name}",
            "parameters": PARAMETERS,
        },
    }
    until(lambda: _done(lambda: cluster.create(paths.executions(NAMESPACE), body)), 60, "executions are served")
    return Key(NAMESPACE, name)


def _done(act: Any) -> bool:
    try:
        act()
    except ExecutorError:
        return False
    return True


def _leave_run(cluster: Cluster, key: Key) -> str:
    """Leave the run of an execution that is gone, ended long ago, and return its path."""
    document = cluster.get(paths.execution(key))
    assert document is not None
    manifest = run_manifest(read_execution(document), 1, 1, Policy())
    cluster.create(paths.pipeline_runs(RUNS), manifest)
    cluster.delete(paths.execution(key), uid=document["metadata"]["uid"])
    path = paths.pipeline_run(RUNS, manifest["metadata"]["name"])
    condition = {"type": "Succeeded", "status": "True", "reason": "Succeeded"}
    ended = {"conditions": [condition], "completionTime": "2026-01-01T00:00:00Z"}
    cluster.merge_patch(path, {"status": ended}, subresource="status")
    return path


@contextmanager
def _quoting(cluster: Cluster, key: Key, run: str) -> Iterator[None]:
    """Refuse every change of the executions here, and every deletion of a run, quoting the password in both."""
    of_execution = "object.spec.parameters['DB_PASSWORD']"
    of_run = "string(oldObject.spec.params.filter(p, p.name == 'DB_PASSWORD')[0].value)"
    with (
        _policy(
            cluster,
            "UPDATE",
            GROUP,
            [PLURAL, f"{PLURAL}/status"],
            of_execution,
            f"object.metadata.namespace == '{NAMESPACE}'",
        ),
        _policy(
            cluster,
            "DELETE",
            "tekton.dev",
            ["pipelineruns"],
            of_run,
            f"oldObject.metadata.name == '{run.rpartition('/')[2]}'",
        ),
    ):
        document = cluster.get(run)
        assert document is not None
        uid = document["metadata"]["uid"]
        label = {"metadata": {"labels": {"tried": "true"}}}
        until(lambda: not _done(lambda: cluster.merge_patch(paths.execution(key), label)), 60, "one policy counts")
        until(lambda: not _done(lambda: cluster.delete(f"{run}?dryRun=All", uid=uid)), 60, "the other counts")
        yield


@contextmanager
def _policy(
    cluster: Cluster, operation: str, group: str, resources: list[str], value: str, where: str
) -> Iterator[None]:
    name, what = f"{operation.lower()}.quoting.example", "run" if operation == "DELETE" else "execution"
    rule = {"apiGroups": [group], "apiVersions": ["*"], "resources": resources, "operations": [operation]}
    validation = {
        "expression": "false",
        "messageExpression": f"'the password ' + {value} + ' is too old for the {what}'",
    }
    spec = {
        "matchConstraints": {"resourceRules": [rule]},
        "matchConditions": [{"name": "here", "expression": where}],
        "validations": [validation],
    }
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": name}}
    bound = {"policyName": name, "validationActions": ["Deny"]}
    made = []
    for plural, which, body in (
        ("validatingadmissionpolicies", "ValidatingAdmissionPolicy", spec),
        ("validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", bound),
    ):
        created = cluster.create(f"{ADMISSION}/{plural}", {**kind, "kind": which, "spec": body})
        made.append((f"{ADMISSION}/{plural}/{name}", created["metadata"]["uid"]))
    try:
        yield
    finally:
        for path, uid in reversed(made):
            cluster.delete(path, uid=uid)


def _events_of(cluster: Cluster, key: Key) -> str:
    listed = cluster.list(paths.kubernetes_events(key.namespace), field_selector=f"involvedObject.name={key.name}")
    return " ".join(event["message"] for event in listed)
