"""What `wfe plan` asks the API server about one declared execution; nothing is changed, refusals become findings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cli.access import Access
from cli.freezing import home_of
from models.errors import Conflict, ExecutorError, Permanent
from models.execution import Engine, Execution
from models.keys import Key
from models.manifest import run_manifest
from tasks.adapters import paths
from tasks.adapters.cluster_errors import AlreadyExists, ResourceAbsent

EXECUTOR_ACCOUNT = "kubernaut-executor"
"""The executor's own account in deploy/rbac.yaml."""


class State(StrEnum):
    """How a check came out. `WAIT` is no fault: it only takes longer."""

    OK = "ok"
    WAIT = "wait"
    FAIL = "FAIL"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the plan."""

    name: str
    state: State
    detail: str


def server_check(access: Access, key: Key, document: Mapping[str, Any]) -> tuple[Check, dict[str, Any] | None, bool]:
    """Let the API server judge the object in a dry run; return its answer, and whether the name is taken."""
    name = "API server"
    try:
        answer = access.cluster.create(paths.executions(key.namespace), document, dry_run=True)
    except AlreadyExists:
        return Check(name, State.OK, f"{key} exists already; a spec cannot change"), None, True
    except (Permanent, Conflict) as refused:
        return Check(name, State.FAIL, str(refused)), None, False
    return Check(name, State.OK, "accepts it (dry run)"), answer, False


def surroundings_checks(access: Access, engine: Engine) -> list[Check]:
    """Say whether what a run needs is there: the kind, the namespace, the account, the executor's rights."""
    settings = access.settings.execution
    return [
        _asked("Engine", lambda: _engine(access, engine)),
        _asked(
            "Namespace", lambda: _exists(access, "Namespace", paths.namespace(settings.namespace), settings.namespace)
        ),
        _asked(
            "Account",
            lambda: _exists(
                access,
                "Account",
                paths.service_account(settings.namespace, settings.service_account),
                f"{settings.namespace}/{settings.service_account}",
            ),
        ),
        _asked("Rights", lambda: _rights(access, engine)),
    ]


def run_check(access: Access, execution: Execution) -> Check:
    """Let the API server judge the run itself, with the rights of who asks: quota, admission, webhooks."""
    manifest = run_manifest(execution, 1, 1, access.policy)
    path = _runs(access, execution.spec.engine)
    return _asked("Creation", lambda: _dry_run(access, path, manifest))


def _dry_run(access: Access, path: str, manifest: dict[str, Any]) -> Check:
    try:
        access.cluster.create(path, manifest, dry_run=True)
    except AlreadyExists:
        return Check("Creation", State.WAIT, "a run of this name is there")
    return Check("Creation", State.OK, "the API server would take the run (dry run, with your rights)")


def engine_served(access: Access, engine: Engine) -> bool:
    """Say whether the API server knows the kind of run of an engine."""
    try:
        access.cluster.list_page(_runs(access, engine), limit=1)
    except ResourceAbsent:
        return False
    return True


def _runs(access: Access, engine: Engine) -> str:
    namespace = access.settings.execution.namespace
    return paths.pipeline_runs(namespace) if engine is Engine.TEKTON else paths.jobs(namespace)


def _engine(access: Access, engine: Engine) -> Check:
    if engine_served(access, engine):
        return Check("Engine", State.OK, f"{engine} is there")
    return Check("Engine", State.WAIT, f"{engine} is not installed on this cluster; it waits until it is")


def _exists(access: Access, name: str, path: str, what: str) -> Check:
    if access.cluster.get(path) is not None:
        return Check(name, State.OK, f"{what} exists")
    return Check(name, State.FAIL, f"{what} does not exist: attempts fail until it does")


def _rights(access: Access, engine: Engine) -> Check:
    settings = access.settings.execution
    account = f"system:serviceaccount:{home_of(access)}:{EXECUTOR_ACCOUNT}"
    group, resource = ("tekton.dev", "pipelineruns") if engine is Engine.TEKTON else ("batch", "jobs")
    wanted = {"namespace": settings.namespace, "verb": "create", "group": group, "resource": resource}
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{home_of(access)}", "system:authenticated"]
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": account, "groups": groups, "resourceAttributes": wanted},
    }
    answer = access.cluster.create(paths.access_reviews(), review).get("status") or {}
    if answer.get("allowed"):
        return Check("Rights", State.OK, f"{account} may create {resource} in {settings.namespace}")
    return Check(
        "Rights", State.FAIL, f"{account} may not create {resource} in {settings.namespace} (deploy/rbac.yaml)"
    )


def _asked(name: str, ask: Callable[[], Check]) -> Check:
    """Return the answer; what the caller may not ask is unknown, not wrong."""
    try:
        return ask()
    except Permanent as refused:
        # RBAC's own words; a quota and an admission policy are Forbidden too, but then it is the run they refuse.
        not_ours = refused.reason == "Forbidden" and " cannot " in str(refused)
        return Check(name, State.UNKNOWN if not_ours else State.FAIL, str(refused))
    except ExecutorError as fault:
        return Check(name, State.UNKNOWN, str(fault))
