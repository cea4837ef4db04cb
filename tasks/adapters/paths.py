"""Paths of the API server's objects, as text. Pure: no request is made here."""

from __future__ import annotations

from urllib.parse import quote

from models.keys import Key
from models.names import GROUP, PLURAL, VERSION


def collection(api: str, plural: str, namespace: str = "") -> str:
    """Return the path of all objects of a type; `api` is `v1` (core) or `group/version`. No namespace: all of them."""
    root = f"/api/{api}" if "/" not in api else f"/apis/{api}"
    return f"{root}/namespaces/{quote(namespace, safe='')}/{plural}" if namespace else f"{root}/{plural}"


def item(api: str, plural: str, namespace: str, name: str) -> str:
    """Return the path of one namespaced object."""
    return f"{collection(api, plural, namespace)}/{quote(name, safe='')}"


def executions(namespace: str = "") -> str:
    return collection(f"{GROUP}/{VERSION}", PLURAL, namespace)


def execution(key: Key) -> str:
    return item(f"{GROUP}/{VERSION}", PLURAL, key.namespace, key.name)


def pipeline_runs(namespace: str = "") -> str:
    return collection("tekton.dev/v1", "pipelineruns", namespace)


def pipeline_run(namespace: str, name: str) -> str:
    return item("tekton.dev/v1", "pipelineruns", namespace, name)


def task_runs(namespace: str) -> str:
    return collection("tekton.dev/v1", "taskruns", namespace)


def task_run(namespace: str, name: str) -> str:
    return item("tekton.dev/v1", "taskruns", namespace, name)


def jobs(namespace: str = "") -> str:
    return collection("batch/v1", "jobs", namespace)


def job(namespace: str, name: str) -> str:
    return item("batch/v1", "jobs", namespace, name)


def pods(namespace: str = "") -> str:
    return collection("v1", "pods", namespace)


def kubernetes_events(namespace: str = "") -> str:
    return collection("v1", "events", namespace)


def config_maps(namespace: str = "") -> str:
    return collection("v1", "configmaps", namespace)


def config_map(namespace: str, name: str) -> str:
    return item("v1", "configmaps", namespace, name)


def namespace(name: str) -> str:
    return item("v1", "namespaces", "", name)


def service_account(namespace: str, name: str) -> str:
    return item("v1", "serviceaccounts", namespace, name)


def access_reviews() -> str:
    """Return where the API server says what an account may do."""
    return collection("authorization.k8s.io/v1", "subjectaccessreviews")


def discovery(api: str) -> str:
    """Return where the API server says which types of a group's version it serves."""
    return f"/apis/{api}"


def admission(name: str) -> tuple[str, str]:
    """Return a ValidatingAdmissionPolicy and the binding of the same name."""
    api = "admissionregistration.k8s.io/v1"
    kinds = ("validatingadmissionpolicies", "validatingadmissionpolicybindings")
    return collection(api, f"{kinds[0]}/{name}"), collection(api, f"{kinds[1]}/{name}")


def leases(namespace: str) -> str:
    return collection("coordination.k8s.io/v1", "leases", namespace)


def lease(namespace: str, name: str) -> str:
    return item("coordination.k8s.io/v1", "leases", namespace, name)


def self_review() -> str:
    """Return where the API server says who the caller is."""
    return collection("authentication.k8s.io/v1", "selfsubjectreviews")
