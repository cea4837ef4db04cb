"""The cluster under a local stack: started for it, or one that is there; our CRD, rights and accounts on it.

On a local cluster the parts log in as the executor's own account, so that the rights in deploy/rbac.yaml are really
what they have. On any other cluster they use the kubeconfig that was given.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import devcluster
from cli.errors import CommandError, UsageError
from cli.local.readiness import Say
from cli.local.request import StackRequest, Tekton
from cli.local.samples import preferred_port, publish_samples
from devcluster import builds, cluster, manifests, records
from devcluster.api import Api
from devcluster.places import state_root

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
EXECUTOR: Final = "system:serviceaccount:kubernaut-system:kubernaut-executor"
EXECUTOR_GROUPS: Final = ("system:serviceaccounts", "system:serviceaccounts:kubernaut-system")
_PIPELINE_RUNS: Final = "/apis/tekton.dev/v1"


@dataclass(frozen=True, slots=True)
class Ground:
    """A cluster that is ready; `login` is the kubeconfig of the executor."""

    login: str
    registry: str


def kubeconfig_of(request: StackRequest) -> str:
    """Return where the administrator's kubeconfig is, or will be. Raises UsageError when a given one is missing."""
    if not request.kubeconfig:
        return str(records.kubeconfig(state_root() / request.name))
    path = Path(request.kubeconfig).absolute()
    if not path.is_file():
        raise UsageError(f"--kubeconfig {request.kubeconfig}: there is no such file")
    return str(path)


def owned_cluster(request: StackRequest) -> str:
    """Return the name of the local cluster that the stack has to start itself; empty when there is one."""
    return "" if request.kubeconfig or cluster.find(request.name) else request.name


def prepare(request: StackRequest, say: Say, *, detach: bool = True) -> Ground:
    """Start or find the cluster and put on it what the executor needs. Raises CommandError, UsageError.

    Without `detach` a cluster that is started ends with this process, however that ends.
    """
    if not DEPLOY.is_dir():
        raise CommandError(f"{DEPLOY} is missing: the local stack runs from a checkout of the project")
    try:
        return _given(request) if request.kubeconfig else _own(request, say, detach)
    except devcluster.UsageError as error:
        raise UsageError(str(error)) from error
    except devcluster.DevclusterError as error:
        raise CommandError(f"cluster: {error}") from error


def release(owned: str) -> None:
    """Stop the local cluster that a stack started."""
    if owned:
        cluster.stop(owned)


def _own(request: StackRequest, say: Say, detach: bool) -> Ground:
    level: Literal["api", "full"] = "full" if request.tekton is Tekton.REAL else "api"
    found = cluster.find(request.name)
    if found is None:
        scripted = request.tekton is Tekton.SCRIPTED
        found = devcluster.start(
            level,
            name=request.name,
            tekton_crds=scripted,
            registry_port=request.ports.get("registry") or preferred_port(),
            detach=detach,
            say=say,
        )
    else:
        say(f"cluster: {request.name} runs already; it is used, and stays when the stack goes down")
    _check_tekton(found.kubeconfig, request.tekton)
    install(found)
    if found.registry:
        publish_samples(found.registry)
    return Ground(str(found.login(EXECUTOR, EXECUTOR_GROUPS)), found.registry or "")


def _given(request: StackRequest) -> Ground:
    kubeconfig = Path(kubeconfig_of(request))
    there = devcluster.Cluster(kubeconfig.parent, kubeconfig=kubeconfig)
    with Api.of(kubeconfig) as api:
        if not api.ready():
            raise CommandError(f"{there.server} (from {request.kubeconfig}) does not say that it is ready")
    if request.tekton is Tekton.SCRIPTED and not _has_tekton(kubeconfig):
        builds.ensure(None, tekton_crds=True, say=lambda _: None)
        there.apply(manifests.load(builds.prepared(manifests.CRDS)))
    _check_tekton(kubeconfig, request.tekton)
    install(there)
    return Ground(request.login or str(kubeconfig), "")


def install(there: devcluster.Cluster) -> None:
    """Apply the CRD, the rights, the namespaces, the accounts and the admission policy."""
    for name in ("crd.yaml", "rbac.yaml", "admission.yaml"):
        there.apply(DEPLOY / name)


def _check_tekton(kubeconfig: Path, tekton: Tekton) -> None:
    if tekton is not Tekton.NONE and not _has_tekton(kubeconfig):
        raise UsageError(f"--tekton {tekton}: that cluster has no tekton.dev/v1; install Tekton, or use scripted")


def _has_tekton(kubeconfig: Path) -> bool:
    with Api.of(kubeconfig) as api:
        return api.get(_PIPELINE_RUNS) is not None
