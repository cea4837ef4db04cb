"""Spell the command line of each component of the cluster.

Everything listens on loopback, the API server alone on another address when asked to.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from devcluster import builds, manifests, recipes, records
from devcluster.layout import LOOPBACK, Layout

NODE: Final = "devcluster"
_SERVICE_RANGE: Final = "10.0.0.0/24"
_SPARING: Final = {"GOGC": "400", "GOMEMLIMIT": "1GiB"}
"""Go's collector waits for four times the live heap in place of once: memory for a fifth of the API server's CPU."""
_SERVER_NAMES: Final = (
    "localhost",
    LOOPBACK,
    "10.0.0.1",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "host.docker.internal",
    "host.containers.internal",
)


@dataclass(frozen=True, slots=True)
class Component:
    """A process of the cluster."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]


def etcd(layout: Layout) -> Component:
    """Keep the API server's objects; nothing survives the cluster, so nothing is synced to disk."""
    client, peer = (f"http://{LOOPBACK}:{layout.ports[name]}" for name in ("etcd", "etcd-peer"))
    flags = (
        f"--data-dir={layout.directory / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster={NODE}={peer}",
        f"--name={NODE}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    )
    return _component("etcd", builds.path_of(recipes.ETCD), flags)


def apiserver(layout: Layout) -> Component:
    """Serve the Kubernetes API with RBAC, client certificates and signed service account tokens."""
    pki = layout.directory / "pki"
    serving = layout.authority.serving("kube-apiserver", dict.fromkeys([*_SERVER_NAMES, layout.address]))
    flags = [
        f"--etcd-servers=http://{LOOPBACK}:{layout.ports['etcd']}",
        f"--bind-address={layout.address}",
        # Without it the server looks for a default route, and does not start on a machine that has none.
        f"--advertise-address={layout.address}",
        "--endpoint-reconciler-type=none",
        f"--secure-port={layout.ports['apiserver']}",
        f"--tls-cert-file={serving.certificate}",
        f"--tls-private-key-file={serving.key}",
        f"--client-ca-file={layout.authority.pair.certificate}",
        f"--service-cluster-ip-range={_SERVICE_RANGE}",
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki / 'service-accounts.key'}",
        f"--service-account-signing-key-file={pki / 'service-accounts.key'}",
        "--allow-privileged=true",
        "--profiling=false",
        "--shutdown-delay-duration=0s",
    ]
    if layout.request.audit_log:
        policy = layout.directory / "audit-policy.yaml"
        policy.write_text(
            json.dumps(
                {
                    "apiVersion": "audit.k8s.io/v1",
                    "kind": "Policy",
                    "omitStages": ["RequestReceived"],
                    "rules": [{"level": "Metadata"}],
                }
            )
        )
        flags += [f"--audit-policy-file={policy}", f"--audit-log-path={records.audit_log(layout.directory)}"]
        # Written at once, so that a test reads what has happened.
        flags += ["--audit-log-mode=blocking", "--audit-log-format=json"]
    if layout.request.level == "api":
        # No controller makes the default service account, without which this plug-in refuses every pod.
        flags.append("--disable-admission-plugins=ServiceAccount")
    return _component("kube-apiserver", builds.path_of(recipes.APISERVER), flags)


def controller_manager(layout: Layout) -> Component:
    """Run those of Kubernetes' controllers that runs, jobs and quotas need."""
    wanted = (
        "garbage-collector-controller",
        "job-controller",
        "namespace-controller",
        "node-lifecycle-controller",
        "pod-garbage-collector-controller",
        "resourcequota-controller",
        "serviceaccount-controller",
        "ttl-after-finished-controller",
    )
    flags = (
        f"--kubeconfig={layout.login('system:kube-controller-manager', 'system:masters')}",
        f"--controllers={','.join(wanted)}",
        "--leader-elect=false",
        "--secure-port=0",
    )
    return _component("kube-controller-manager", builds.path_of(recipes.CONTROLLER_MANAGER), flags)


def scheduler(layout: Layout) -> Component:
    """Give pods their node."""
    login = layout.login("system:kube-scheduler", "system:masters")
    flags = (f"--kubeconfig={login}", "--leader-elect=false", "--secure-port=0")
    return _component("kube-scheduler", builds.path_of(recipes.SCHEDULER), flags)


def kwok(layout: Layout) -> Component:
    """Play the kubelet: pods run and end as their annotations say."""
    options = {
        "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
        "kind": "KwokConfiguration",
        "options": {
            "manageAllNodes": True,
            # Without a lease the node flaps between ready and not.
            "nodeLeaseDurationSeconds": 40,
            "nodeLeaseParallelism": 1,
            "nodePlayStageParallelism": 1,
            "podPlayStageParallelism": 8,
            "podsOnNodeSyncParallelism": 1,
            "cidr": "10.1.0.1/16",
            "nodeIP": LOOPBACK,
            "serverAddress": f"{LOOPBACK}:{layout.ports['kwok']}",
        },
    }
    stages = [
        *manifests.stock_stages(builds.prepared(manifests.STAGES)),
        *manifests.read_documents(recipes.HERE / "stages.yaml"),
    ]
    config = layout.directory / "kwok.yaml"
    config.write_text(yaml.safe_dump_all([options, *stages]))
    login = layout.login("devcluster:kwok", "system:masters")
    return _component("kwok", builds.path_of(recipes.KWOK), (f"--kubeconfig={login}", f"--config={config}"))


def registry(layout: Layout) -> Component:
    """Keep bundles, in memory."""
    return _component("registry", builds.path_of(recipes.REGISTRY), (f"-port={layout.ports['registry']}",))


def tekton(layout: Layout) -> tuple[Component, Component]:
    """Run Tekton's controller and its resolvers."""
    common = ("-kube-api-qps=400", "-kube-api-burst=800")
    names = {
        "CONFIG_LOGGING_NAME": "config-logging",
        "CONFIG_OBSERVABILITY_NAME": "config-observability",
        "CONFIG_DEFAULTS_NAME": "config-defaults",
        "CONFIG_FEATURE_FLAGS_NAME": "feature-flags",
        "CONFIG_SPIRE": "config-spire",
    }
    found = []
    for name, recipe, namespace, domain, election in (
        ("tekton-controller", recipes.TEKTON_CONTROLLER, "tekton-pipelines", "pipeline", "controller"),
        ("tekton-resolvers", recipes.TEKTON_RESOLVERS, "tekton-pipelines-resolvers", "resolution", "resolvers"),
    ):
        environment = {
            **names,
            "SYSTEM_NAMESPACE": namespace,
            "METRICS_DOMAIN": f"tekton.dev/{domain}",
            "CONFIG_LEADERELECTION_NAME": f"config-leader-election-{election}",
            "READY_FILE": str(layout.ready_file(name)),
        }
        login = layout.login(f"devcluster:{name}", "system:masters")
        found.append(_component(name, builds.path_of(recipe), (f"-kubeconfig={login}", *common), environment))
    return found[0], found[1]


def _component(
    name: str, binary: Path, flags: tuple[str, ...] | list[str], environment: dict[str, str] | None = None
) -> Component:
    # A proxy or a kubeconfig of the user must not lead a component elsewhere.
    kept = {key: value for key, value in os.environ.items() if key in ("HOME", "PATH", "TMPDIR", "TZ", "LANG")}
    return Component(name, (str(binary), *flags), {**kept, **_SPARING, **(environment or {})})
