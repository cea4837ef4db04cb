"""The API server says no, in every way it can: the execution shows it and is tried again, and no worker spins on it."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from devcluster.certificates import Authority
from devcluster.cluster import Cluster as LocalCluster
from models.errors import ExecutorError, Permanent, Transient
from models.execution import Engine, Execution
from models.keys import Key
from models.status import ConditionType, Phase, Status, WaitReason
from models.target import run_name
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from tasks.adapters.engines import ClusterRuns
from tasks.adapters.executions import ClusterExecutions
from tasks.parts import Parts
from tasks.reconciling import TRY_AGAIN, run_key
from tests.integration.passes.conftest import RUNS, World
from tests.waiting import until

WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
RULES = [{"apiGroups": ["tekton.dev"], "apiVersions": ["*"], "resources": ["pipelineruns"], "operations": ["CREATE"]}]


def test_webhook_that_is_down_is_shown_and_retried(world: World) -> None:
    key = world.declare()
    with _down_webhook(world.cluster):
        status = world.make_pass(key).status
    assert (status.phase, status.reason, status.failures) == (Phase.PENDING, WaitReason.BACKING_OFF, 1)
    created = status.condition(ConditionType.CREATED)
    assert created is not None
    assert (created.status, created.reason) == (False, "PipelineCreationFailed")
    assert "failed calling webhook" in created.message
    assert "RetryScheduled" in world.events_of(key)
    until(lambda: world.make_pass(key).status.phase is Phase.RUNNING, 60, "the next attempt")


def test_webhook_that_answers_conflict_is_shown_and_retried(world: World, tmp_path: Path) -> None:
    key = world.declare()
    with _conflict_webhook(world.cluster, tmp_path):
        status = world.make_pass(key).status
    assert (status.phase, status.reason, status.failures) == (Phase.PENDING, WaitReason.BACKING_OFF, 1)
    created = status.condition(ConditionType.CREATED)
    assert created is not None
    assert (created.status, created.reason) == (False, "PipelineCreationFailed")
    assert "not while the freight is moving" in created.message
    until(lambda: world.make_pass(key).status.phase is Phase.RUNNING, 60, "the next attempt")


def test_policy_that_says_no_is_shown_and_retried(world: World) -> None:
    with _policy(world.cluster):
        key = world.declare()
        status = world.make_pass(key).status
    assert (status.phase, status.reason) == (Phase.PENDING, WaitReason.BACKING_OFF)
    until(lambda: world.make_pass(key).status.phase is Phase.RUNNING, 60, "the next attempt")


def test_absent_namespace_of_runs_is_shown_and_retried(world: World) -> None:
    key = world.declare()
    elsewhere = replace(
        world.parts,
        policy=replace(world.parts.policy, namespace="nowhere"),
        runs=ClusterRuns(world.cluster, "nowhere"),
    )
    status = _pass_with(world, key, elsewhere)
    assert (status.phase, status.reason) == (Phase.PENDING, WaitReason.BACKING_OFF)
    created = status.condition(ConditionType.CREATED)
    assert created is not None
    assert '"nowhere" not found' in created.message


def test_run_whose_answer_was_lost_is_adopted_and_not_deleted(world: World) -> None:
    """A creation that timed out may happen afterwards; by then its attempt counts as failed."""
    key = world.declare()
    with _down_webhook(world.cluster):
        assert world.make_pass(key).status.failures == 1
    late = until(lambda: _create_late(world, key), 60, "the webhook is gone")
    assert world.make_pass(key).status.phase is Phase.RUNNING
    run = world.run_of(key)
    assert run is not None
    assert run.uid == late


@pytest.mark.parametrize("arrives", [True, False])
def test_transition_whose_answer_was_lost_is_counted_where_it_was_written(
    world: World, monkeypatch: pytest.MonkeyPatch, arrives: bool
) -> None:
    patch = ClusterExecutions.patch_status
    answers = iter([True, False])

    def lose_the_first_answer(self: ClusterExecutions, execution: Execution, status: Status) -> Execution:
        lost = next(answers, False)
        if lost and not arrives:
            raise Transient("the connection was cut before the API server took it")
        written = patch(self, execution, status)
        if lost:
            raise Transient("the connection was cut")
        return written

    monkeypatch.setattr(ClusterExecutions, "patch_status", lose_the_first_answer)
    key = world.declare()
    assert (world.make_pass(key).status.phase is Phase.RUNNING) is arrives
    assert world.events_of(key) == (["PipelineRunCreated"] if arrives else [])
    until(lambda: world.make_pass(key).status.phase is Phase.RUNNING, 60, "a pass that gets through")
    world.make_pass(key)
    assert world.parts.metrics.runs_created._value.get() == 1
    assert world.events_of(key) == ["PipelineRunCreated"]


def test_executor_without_rights_waits_longer_each_time(
    world: World, api_cluster: LocalCluster, caplog: pytest.LogCaptureFixture
) -> None:
    key = world.declare()
    nobody = Cluster.connect(str(api_cluster.login("nobody")))
    powerless = replace(world.parts, executions=ClusterExecutions(nobody), runs=ClusterRuns(nobody, RUNS))
    world.parts.queue.notify([key])
    for number in range(4):
        before = world.parts.queue.now().timestamp()
        run_key(key, powerless)
        milliseconds: Any = world.parts.queue._scripts._client.zscore("wfe:due", str(key))
        due, after = milliseconds / 1000, world.parts.queue.now().timestamp()
        wait = TRY_AGAIN.total_seconds() * 2**number
        # The pass ended in between; the wait is drawn a tenth shorter or longer, and counted in milliseconds.
        assert before + 0.9 * wait - 0.002 < due
        assert due - after < 1.1 * wait + 0.002
        world.parts.queue.notify([key])
    refused = [record for record in caplog.records if record.name == "tasks.reconciling"]
    assert len(refused) == 4
    assert all("is forbidden" in record.getMessage() and record.exc_info is None for record in refused)


@pytest.mark.parametrize("removed_by_us", [True, False])
def test_target_is_held_and_says_so_while_what_is_left_of_its_run_may_not_be_read(
    world: World, api_cluster: LocalCluster, removed_by_us: bool
) -> None:
    key = world.declare()
    world.make_pass(key)
    world.end_run(key, succeeded=True, reason="Succeeded")
    assert world.make_pass(key).status.phase is Phase.COMPLETED
    run = world.run_of(key)
    assert run is not None
    if not removed_by_us:
        world.remove(paths.pipeline_run(RUNS, run.name))
    with _blind_to_tasks(world, api_cluster) as blind:

        def told() -> bool:
            _pass_with(world, key, blind)
            return "CleanupFailed" in world.events_of(key)

        until(told, 60, "it says why its target is held")  # once its cooldown is over
        assert told()
        assert world.events_of(key).count("CleanupFailed") == 1
        selector = f"involvedObject.name={key.name},reason=CleanupFailed"
        [event] = world.cluster.list(paths.kubernetes_events(key.namespace), field_selector=selector)
        message = event["message"]
        assert "is not freed yet" in message
        assert "cannot list resource" in message
        assert "WorkflowFailed" not in world.events_of(key)
        assert len(world.parts.holds.all()) == 1
        for _ in range(8):
            _pass_with(world, key, blind)
        due: Any = world.parts.queue._scripts._client.zscore("wfe:due", str(key))
        assert due - world.parts.queue.now().timestamp() * 1000 <= 60_000
    world.make_pass(key)
    assert world.parts.holds.all() == []
    assert "LockReleased" in world.events_of(key)


def test_kubernetes_event_that_is_refused_stops_nothing(world: World) -> None:
    """A namespace that is being deleted takes no new object, but its executions must still go."""
    body = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "going"},
        "spec": {"finalizers": ["x.example/k"]},
    }
    world.cluster.create("/api/v1/namespaces", body)
    key = world.declare(namespace="going")
    running = world.make_pass(key)
    assert running.status.phase is Phase.RUNNING
    namespace = world.cluster.get("/api/v1/namespaces/going")
    assert namespace is not None
    world.cluster.delete("/api/v1/namespaces/going", uid=namespace["metadata"]["uid"])
    world.cluster.delete(paths.execution(key), uid=running.uid)
    world.parts.outbox.acknowledge(world.parts.outbox.take(10))
    world.parts.queue.notify([key])
    run_key(key, world.parts)
    assert world.parts.executions.get(key) is None
    assert world.parts.runs.get(run_name(running.spec.target), running.spec.engine) is None


@contextmanager
def _blind_to_tasks(world: World, api_cluster: LocalCluster) -> Iterator[Parts]:
    """Give a worker that may do everything to runs but see their tasks."""
    rules = [
        {"apiGroups": ["tekton.dev"], "resources": ["pipelineruns"], "verbs": ["*"]},
        {"apiGroups": ["batch", ""], "resources": ["*"], "verbs": ["*"]},
    ]
    names = {"name": "blind", "namespace": RUNS}
    api = "rbac.authorization.k8s.io"
    subject = {"kind": "User", "name": "blind", "apiGroup": api}
    binding = {"roleRef": {"apiGroup": api, "kind": "Role", "name": "blind"}, "subjects": [subject]}
    api_cluster.apply(
        [
            {"apiVersion": f"{api}/v1", "kind": "Role", "metadata": names, "rules": rules},
            {"apiVersion": f"{api}/v1", "kind": "RoleBinding", "metadata": names, **binding},
        ]
    )
    runs = ClusterRuns(Cluster.connect(str(api_cluster.login("blind"))), RUNS)
    until(lambda: _may_read(runs), 60, "the rights count")
    yield replace(world.parts, runs=runs)


def _may_read(runs: ClusterRuns) -> bool:
    try:
        runs.get("wfe-0", Engine.TEKTON)
    except Permanent:
        return False
    return True


def _pass_with(world: World, key: Key, parts: Parts) -> Status:
    parts.queue.notify([key])
    run_key(key, parts)
    return world.read(key).status


def _create_late(world: World, key: Key) -> str | None:
    try:
        return world.create_run(key).uid
    except Transient:
        return None


class _SaysConflict(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status = {"code": 409, "reason": "Conflict", "message": "not while the freight is moving"}
        review["response"] = {"uid": review.pop("request")["uid"], "allowed": False, "status": status}
        body = json.dumps(review).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the library's
        return


@contextmanager
def _conflict_webhook(cluster: Cluster, directory: Path) -> Iterator[None]:
    """Let the API server ask a webhook that refuses with 409, as controllers do that guard a state of their own."""
    authority = Authority(directory, datetime.now(UTC))
    pair = authority.serving("webhook", ["127.0.0.1"])
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair.certificate, pair.key)
    with ThreadingHTTPServer(("127.0.0.1", 0), _SaysConflict) as server:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        bundle = base64.b64encode(authority.pair.certificate.read_bytes()).decode()
        try:
            with _webhook(cluster, {"url": f"https://127.0.0.1:{server.server_port}/", "caBundle": bundle}):
                yield
        finally:
            server.shutdown()


@contextmanager
def _down_webhook(cluster: Cluster) -> Iterator[None]:
    """Let the API server ask a webhook that does not answer, as while Tekton's is restarted."""
    with _webhook(cluster, {"url": "https://127.0.0.1:1/"}):
        yield


@contextmanager
def _webhook(cluster: Cluster, where: dict[str, str]) -> Iterator[None]:
    webhook = {
        "name": "down.test.example",
        "clientConfig": where,
        "rules": RULES,
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    body = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "down"},
        "webhooks": [webhook],
    }
    made = cluster.create(WEBHOOKS, body)
    try:
        until(lambda: not _takes_runs(cluster), 60, "the webhook is asked")
        yield
    finally:
        cluster.delete(f"{WEBHOOKS}/down", uid=made["metadata"]["uid"])


@contextmanager
def _policy(cluster: Cluster) -> Iterator[None]:
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": "no.test.example"}}
    policy = cluster.create(
        POLICIES,
        {
            **kind,
            "kind": "ValidatingAdmissionPolicy",
            "spec": {
                "matchConstraints": {"resourceRules": RULES},
                "validations": [{"expression": "false", "message": "not today"}],
            },
        },
    )
    binding = cluster.create(
        BINDINGS,
        {
            **kind,
            "kind": "ValidatingAdmissionPolicyBinding",
            "spec": {"policyName": "no.test.example", "validationActions": ["Deny"]},
        },
    )
    try:
        until(lambda: not _takes_runs(cluster), 60, "the policy counts")
        yield
    finally:
        cluster.delete(f"{BINDINGS}/no.test.example", uid=binding["metadata"]["uid"])
        cluster.delete(f"{POLICIES}/no.test.example", uid=policy["metadata"]["uid"])


def _takes_runs(cluster: Cluster) -> bool:
    """Ask with a dry run whether the API server would take a run now."""
    body = {"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": {"name": "probe"}, "spec": {}}
    try:
        cluster.create(f"{paths.pipeline_runs(RUNS)}?dryRun=All", body)
    except ExecutorError:
        return False
    return True
