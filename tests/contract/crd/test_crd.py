"""The WorkflowExecution resource as kubectl shows it, on a real API server."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.crd.conftest import DEPLOY, Kubectl, minimal_spec

SCHEMA: dict[str, Any] = yaml.safe_load((DEPLOY / "crd.yaml").read_text(encoding="utf-8"))["spec"]["versions"][0][
    "schema"
]["openAPIV3Schema"]
ACCOUNT = "system:serviceaccount:kubernaut-system:kubernaut-executor"


def columns(table: str) -> list[str]:
    return table.splitlines()[0].split()


def example(node: dict[str, Any]) -> Any:
    """Make a value of a schema node with every field set."""
    if "enum" in node:
        return node["enum"][-1]
    if node.get("format") == "date-time":
        return "2026-01-02T03:04:05Z"
    if "properties" in node:
        return {name: example(child) for name, child in node["properties"].items()}
    if "additionalProperties" in node:
        return {"KEY": example(node["additionalProperties"])}
    if "items" in node:
        return [example(node["items"])]
    return {"string": "Text", "integer": 7, "number": 0.5, "boolean": True}[node["type"]]


def test_a_fresh_execution_is_pending_before_anybody_wrote_to_it(kubectl: Kubectl) -> None:
    created = kubectl.create("fresh")
    assert created["status"] == {"phase": "Pending"}
    assert kubectl.get("fresh")["status"] == {"phase": "Pending"}
    assert kubectl.get("fresh")["metadata"]["resourceVersion"] == created["metadata"]["resourceVersion"]
    kubectl("wait", "wfe/fresh", "--for=jsonpath={.status.phase}=Pending", "--timeout=60s")


def test_the_first_row_of_a_watch_shows_pending(kubectl: Kubectl) -> None:
    watch = subprocess.Popen(
        kubectl.command("get", "wfe", "-w"), env=kubectl.environment, stdout=subprocess.PIPE, text=True
    )
    try:
        kubectl.create("fresh")
        assert watch.stdout is not None
        assert columns(watch.stdout.readline()) == [
            "NAME",
            "PHASE",
            "WORKFLOWID",
            "TARGET",
            "REASON",
            "DURATION",
            "AGE",
        ]
        assert watch.stdout.readline().split()[:4] == ["fresh", "Pending", "restart", "default/deployment/app"]
    finally:
        watch.kill()
        watch.communicate()


def test_columns_tell_why_it_waits_and_wide_when_it_goes_on(kubectl: Kubectl) -> None:
    kubectl.create("waiting")
    status = {"reason": "BackingOff", "attempt": 2, "nextAllowedExecution": "2099-01-02T03:04:05Z", "duration": "1m30s"}
    kubectl("patch", "wfe", "waiting", "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
    narrow, wide = kubectl("get", "wfe"), kubectl("get", "wfe", "-o", "wide")
    assert narrow.splitlines()[1].split()[:6] == [
        "waiting",
        "Pending",
        "restart",
        "default/deployment/app",
        "BackingOff",
        "1m30s",
    ]
    assert columns(wide) == ["NAME", "PHASE", "WORKFLOWID", "TARGET", "REASON", "DURATION", "ATTEMPT", "NEXT", "AGE"]
    assert wide.splitlines()[1].split()[6:8] == ["2", "2099-01-02T03:04:05Z"]


def test_found_by_short_name_category_and_target(kubectl: Kubectl) -> None:
    kubectl.create("one")
    kubectl.create("other", minimal_spec(targetResource="node/worker-1"))
    assert kubectl("get", "kubernaut", "-o", "name").split() == kubectl("get", "wfe", "-o", "name").split()
    selected = kubectl("get", "wfe", "-o", "name", "--field-selector", "spec.targetResource=node/worker-1")
    assert selected.split() == ["workflowexecution.kubernaut.ai/other"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("wfe", "lets only one run touch a target at a time"),
        ("wfe.spec", "cannot be changed"),
        ("wfe.spec.targetResource", "namespace/kind/name"),
        ("wfe.spec.executionConfig", "concurrencyPolicy"),
        ("wfe.status.phase", "Completed, Failed and Skipped are ends"),
        ("wfe.status.failureDetails.wasExecutionFailure", "never retried"),
        ("wfe.status.audit.pending", "has not acknowledged"),
    ],
)
def test_explain_teaches(kubectl: Kubectl, path: str, expected: str) -> None:
    assert expected in " ".join(kubectl("explain", path).split())


@pytest.mark.parametrize(
    "change",
    [
        {"targetResource": "a/b/c"},
        {"parameters": {"NEW": "1"}},
        {"parameters": {"OLD": None}},
        {"workflowRef": {"executionEngine": "job"}},
        {"executionConfig": {"timeout": "1h"}},
        {"rationale": "second thoughts"},
    ],
    ids=str,
)
def test_the_spec_cannot_be_changed(kubectl: Kubectl, change: object) -> None:
    kubectl.create("fixed", minimal_spec(parameters={"OLD": "1"}))
    refusal = kubectl("patch", "wfe", "fixed", "--type=merge", "-p", json.dumps({"spec": change}), fails=True)
    assert "spec is immutable after creation" in refusal
    assert kubectl.get("fixed")["metadata"]["generation"] == 1


def test_what_is_not_spec_can_be_changed_and_leaves_the_generation(kubectl: Kubectl) -> None:
    kubectl.create("open")
    kubectl("annotate", "wfe", "open", "kubernaut.ai/cancel=wrong target")
    kubectl("label", "wfe", "open", "kubernaut.ai/correlation-id=rr-9")
    kubectl("patch", "wfe", "open", "--subresource=status", "--type=merge", "-p", '{"status":{"phase":"Running"}}')
    assert kubectl.get("open")["metadata"]["generation"] == 1
    assert kubectl.get("open")["status"]["phase"] == "Running"


def test_no_status_field_is_lost(kubectl: Kubectl) -> None:
    kubectl.create("full")
    status = example(SCHEMA["properties"]["status"])
    kubectl("patch", "wfe", "full", "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
    assert kubectl.get("full")["status"] == status


def test_no_spec_field_is_lost(kubectl: Kubectl) -> None:
    spec = example(SCHEMA["properties"]["spec"])
    assert kubectl.create("full", spec)["spec"] == spec


def test_the_engine_is_tekton_unless_said(kubectl: Kubectl) -> None:
    assert kubectl.create("plain")["spec"]["workflowRef"]["executionEngine"] == "tekton"


@pytest.mark.parametrize(
    "spec",
    [
        minimal_spec(remediationRequestRef={}),
        minimal_spec(targetResource=""),
        minimal_spec(targetResource="not a target at all/" + "x" * 4000),
        minimal_spec(workflowRef={"workflowId": "", "version": "", "containerImage": ""}),
        minimal_spec(confidence=-3.5, rationale="x" * 10_000, parameters={"": "", "x" * 300: "y" * 10_000}),
        minimal_spec(executionConfig={"timeout": "soon", "serviceAccountName": "Somebody Else"}),
        minimal_spec(remediationRequestRef={"kind": "RemediationRequest", "fieldPath": "spec", "uid": "x"}),
    ],
)
def test_what_the_original_accepts_is_accepted(kubectl: Kubectl, spec: object) -> None:
    kubectl.create("original", spec)


def test_an_execution_without_spec_and_one_with_unknown_fields_are_accepted(kubectl: Kubectl) -> None:
    bare = {"apiVersion": "kubernaut.ai/v1alpha1", "kind": "WorkflowExecution", "metadata": {"name": "bare"}}
    kubectl("create", "-f", "-", stdin=bare)
    pruned = kubectl.create("newer", minimal_spec(fromTheFuture=True), "--validate=ignore")
    assert "fromTheFuture" not in pruned["spec"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"phase": "Lost"}, "status.phase"),
        (
            {"skipDetails": {"reason": "Bored", "message": "", "skippedAt": "2026-01-02T03:04:05Z"}},
            "skipDetails.reason",
        ),
        ({"failureDetails": {"reason": "Zoom"}}, "failureDetails.reason"),
        ({"conditions": [{"type": "Ready", "status": "True", "reason": "", "message": ""}]}, "conditions[0]"),
        ({"startTime": "yesterday"}, "status.startTime"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_status_outside_the_contract_is_refused(kubectl: Kubectl, status: object, expected: str) -> None:
    kubectl.create("strict")
    patch = json.dumps({"status": status})
    refusal = kubectl("patch", "wfe", "strict", "--subresource=status", "--type=merge", "-p", patch, fails=True)
    assert expected in refusal


def test_a_status_given_at_creation_is_not_taken(kubectl: Kubectl) -> None:
    assert kubectl.create("forged", status={"phase": "Completed"})["status"] == {"phase": "Pending"}


@pytest.mark.parametrize(
    ("verb", "resource", "namespace", "allowed"),
    [
        ("patch", "workflowexecutions.kubernaut.ai", "default", True),
        ("patch", "workflowexecutions.kubernaut.ai/status", "default", True),
        ("delete", "workflowexecutions.kubernaut.ai", "default", False),
        ("create", "events", "default", True),
        ("create", "pipelineruns.tekton.dev", "kubernaut-workflows", True),
        ("create", "pipelineruns.tekton.dev", "default", False),
        ("watch", "taskruns.tekton.dev", "kubernaut-workflows", True),
        ("delete", "taskruns.tekton.dev", "kubernaut-workflows", False),
        ("delete", "jobs.batch", "kubernaut-workflows", True),
        ("list", "pods", "kubernaut-workflows", True),
        ("delete", "pods", "kubernaut-workflows", False),
        ("get", "secrets", "kubernaut-workflows", False),
        ("update", "leases.coordination.k8s.io/workflowexecution-watcher", "kubernaut-system", True),
        ("update", "leases.coordination.k8s.io/another", "kubernaut-system", False),
    ],
)
def test_rights(kubectl: Kubectl, verb: str, resource: str, namespace: str, allowed: bool) -> None:
    name, _, rest = resource.partition("/")
    words = [f"--subresource={rest}", name] if rest == "status" else [resource]
    question = ["auth", "can-i", verb, *words, "--as", ACCOUNT, "--namespace", namespace]
    command = [kubectl.executable, *question]
    answer = subprocess.run(command, env=kubectl.environment, check=False, capture_output=True, text=True)
    assert answer.stdout.strip() == ("yes" if allowed else "no"), answer.stderr


@pytest.mark.parametrize(("verb", "allowed"), [("create", True), ("get", False), ("hold", False)])
def test_rights_over_the_audit(kubectl: Kubectl, verb: str, allowed: bool) -> None:
    over = {"group": "kubernaut.ai", "resource": "auditevents", "namespace": "kubernaut-system", "verb": verb}
    spec = {"user": ACCOUNT, "resourceAttributes": over}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    answer = json.loads(kubectl("create", "-f", "-", "-o", "json", stdin=review))
    assert answer["status"]["allowed"] is allowed


def test_kubectl_lists_the_rights_over_the_audit(kubectl: Kubectl) -> None:
    listed = kubectl("auth", "can-i", "--list", f"--as={ACCOUNT}", "--namespace=kubernaut-system")
    rows = [line.split() for line in listed.splitlines()]
    assert ["auditevents.kubernaut.ai", "[]", "[]", "[create]"] in rows


def test_samples_are_accepted(kubectl: Kubectl) -> None:
    samples = Path(__file__).parents[3] / "docs/samples"
    for path in sorted(samples.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if document and document["kind"] == "WorkflowExecution":
                kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=document)
