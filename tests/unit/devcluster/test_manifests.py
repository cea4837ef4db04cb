"""What is prepared from the modules' files, and the go.mod that names them."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from devcluster import annotations as pod
from devcluster import manifests, recipes
from devcluster.replacements import moved, replacements

CRD = {
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "resolutionrequests.resolution.tekton.dev"},
    "spec": {
        "conversion": {"strategy": "Webhook"},
        "versions": [
            {"name": "v1alpha1", "served": True, "storage": False},
            {
                "name": "v1beta1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"properties": {"status": {"type": "object", "required": ["data"]}}}},
            },
        ],
    },
}


def tekton_module(root: Path) -> Path:
    """Write the smallest tree that looks like Tekton's."""
    for name in ("300-crds", "100-namespace", "resolvers"):
        (root / "config" / name).mkdir(parents=True)
    observability = {
        "kind": "ConfigMap",
        "metadata": {"name": "config-observability"},
        "data": {"metrics-protocol": "prometheus", "_example": "long"},
    }
    namespace = {"kind": "Namespace", "metadata": {"name": "tekton-pipelines"}}
    (root / "config" / "300-crds" / "crd.yaml").write_text(yaml.safe_dump(CRD))
    (root / "config" / "100-namespace" / "100-namespace.yaml").write_text(yaml.safe_dump(namespace))
    (root / "config" / "resolvers" / "100-namespace.yaml").write_text(yaml.safe_dump(namespace))
    (root / "config" / "config-observability.yaml").write_text(yaml.safe_dump(observability))
    (root / "config" / "controller.yaml").write_text("kind: Deployment\nmetadata: {name: unwanted}\n")
    return root


def test_tekton_works_without_its_webhook(tmp_path: Path) -> None:
    manifests.write_tekton(tekton_module(tmp_path / "module"), tmp_path)
    (crd,) = manifests.load(tmp_path / manifests.CRDS)
    assert "conversion" not in crd["spec"]
    assert [version["served"] for version in crd["spec"]["versions"]] == [False, True]
    stored = crd["spec"]["versions"][1]["schema"]["openAPIV3Schema"]["properties"]["status"]
    assert stored == {"type": "object"}


def test_settings_open_no_port_and_no_workload_is_installed(tmp_path: Path) -> None:
    manifests.write_tekton(tekton_module(tmp_path / "module"), tmp_path)
    settings = list(manifests.load(tmp_path / manifests.SETTINGS))
    assert [item["kind"] for item in settings] == ["Namespace", "Namespace", "ConfigMap"]
    assert settings[-1]["data"] == {"metrics-protocol": "none"}


def test_stages_read_the_annotations_that_tests_write() -> None:
    text = (recipes.HERE / "stages.yaml").read_text()
    for key in (
        pod.OUTCOME,
        pod.EXIT_CODE,
        pod.DURATION,
        pod.MESSAGE,
        pod.TASK,
    ):
        assert f'"{key}"' in text
    stages = {stage["metadata"]["name"]: stage["spec"] for stage in manifests.parse_documents(text)}
    milliseconds = stages["pod-finish"]["delay"]["durationMilliseconds"]
    assert f"{milliseconds}ms" == pod.DEFAULT_DURATION


def test_lists_are_unfolded() -> None:
    text = json.dumps({"kind": "List", "items": [{"kind": "A"}, {"kind": "B"}]}) + "\n---\n---\nkind: C\n"
    assert [item["kind"] for item in manifests.parse_documents(text)] == ["A", "B", "C"]


def test_every_staging_module_is_replaced_by_the_version_of_this_kubernetes() -> None:
    published = recipes.KUBERNETES.version.replace("v1.", "v0.", 1)
    lines = [line.split() for line in recipes.KUBERNETES.manifest.splitlines() if "=>" in line]
    assert len(lines) > 20
    assert {line[3] for line in lines} == {published}
    assert all(line[0] == line[2] for line in lines)


def test_another_kubernetes_brings_its_own_list() -> None:
    upstream = "require (\n\tk8s.io/api v0.0.0\n\tk8s.io/new v0.0.0\n\tk8s.io/klog/v2 v2.1.0\n)\n"
    ours = "require (\n\tk8s.io/kubernetes v1.36.3\n)\n\nreplace (\n\tk8s.io/gone => k8s.io/gone v0.36.3\n)\n"
    after = moved(ours, upstream, "v1.37.0")
    assert "\tk8s.io/kubernetes v1.37.0\n" in after
    assert "gone" not in after
    assert after.endswith(replacements(upstream, "v1.37.0"))
    assert "\tk8s.io/new => k8s.io/new v0.37.0\n" in after
