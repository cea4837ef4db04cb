"""deploy/rbac.yaml grants what the executor does and not a verb more than stands here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from models.settings import Settings

DEPLOY = Path(__file__).parents[3] / "deploy"


def documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / "rbac.yaml").read_text(encoding="utf-8")))


def granted(*kinds: str) -> dict[tuple[str, str], set[str]]:
    rights: dict[tuple[str, str], set[str]] = {}
    for role in documents():
        if role["kind"] in kinds and role["metadata"]["name"].startswith("kubernaut-executor"):
            for rule in role["rules"]:
                for resource in rule["resources"]:
                    for group in rule["apiGroups"]:
                        rights.setdefault((group, resource), set()).update(rule["verbs"])
    return rights


def test_everywhere_only_executions_and_events() -> None:
    assert granted("ClusterRole") == {
        ("kubernaut.ai", "workflowexecutions"): {"get", "list", "watch", "patch"},
        ("kubernaut.ai", "workflowexecutions/status"): {"get", "patch"},
        ("kubernaut.ai", "workflowexecutions/finalizers"): {"update"},
        ("", "events"): {"create"},
        ("admissionregistration.k8s.io", "validatingadmissionpolicies"): {"get"},
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"): {"get"},
    }


def test_in_its_own_namespaces_runs_the_lease_and_the_freeze() -> None:
    assert granted("Role") == {
        ("tekton.dev", "pipelineruns"): {"get", "list", "watch", "create", "patch", "delete"},
        ("tekton.dev", "taskruns"): {"get", "list", "watch"},
        ("batch", "jobs"): {"get", "list", "watch", "create", "patch", "delete"},
        ("", "pods"): {"get", "list"},
        ("", "events"): {"list"},
        ("coordination.k8s.io", "leases"): {"create", "get", "update", "patch"},
        ("", "configmaps"): {"get", "list", "watch", "patch"},
    }


def test_over_the_audit_the_executor_may_write_alone() -> None:
    """Who holds and who reads is named by the operator: these roles are bound to nobody."""
    roles = {role["metadata"]["name"]: role for role in documents() if role["kind"] == "Role"}
    audit = {name: role["rules"] for name, role in roles.items() if name.startswith("kubernaut-audit-")}
    assert all(len(rules) == 1 and rules[0]["resources"] == ["auditevents"] for rules in audit.values())
    assert {name: rules[0]["verbs"] for name, rules in audit.items()} == {
        "kubernaut-audit-writer": ["create"],
        "kubernaut-audit-reader": ["get"],
        "kubernaut-audit-holder": ["get", "hold"],
    }
    bound = {
        binding["roleRef"]["name"]: [subject["name"] for subject in binding["subjects"]]
        for binding in documents()
        if binding["kind"].endswith("Binding") and binding["roleRef"]["name"] in audit
    }
    assert bound == {"kubernaut-audit-writer": ["kubernaut-executor"]}


def test_no_wildcards() -> None:
    for document in documents():
        for rule in document.get("rules", []):
            assert "*" not in [*rule["verbs"], *rule["resources"], *rule["apiGroups"]]


def test_the_account_and_namespace_of_runs_are_the_configured_defaults() -> None:
    accounts = [
        (document["metadata"]["namespace"], document["metadata"]["name"])
        for document in documents()
        if document["kind"] == "ServiceAccount"
    ]
    settings = Settings().execution
    assert (settings.namespace, settings.service_account) in accounts


def test_every_binding_names_a_role_and_an_account_that_exist() -> None:
    known = {(document["kind"], document["metadata"]["name"]) for document in documents()}
    for binding in (document for document in documents() if document["kind"].endswith("Binding")):
        assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) in known
        assert all((subject["kind"], subject["name"]) in known for subject in binding["subjects"])


def test_kustomization_lists_every_manifest() -> None:
    listed = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    assert sorted(listed) == sorted(path.name for path in DEPLOY.glob("*.yaml") if path.name != "kustomization.yaml")
