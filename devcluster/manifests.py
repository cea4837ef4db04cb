"""Prepare Tekton's CRDs and settings and KWOK's stages from the files of their Go modules.

Runs once, when the files enter the cache; starting a cluster only reads the result. Nothing of the modules is copied
into the project.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from devcluster import annotations as pod

Document = dict[str, Any]

CRDS: Final = "tekton-crds.json"
SETTINGS: Final = "tekton-settings.json"
STAGES: Final = "kwok-stages.json"

_STOCK_STAGES: Final = (
    "node/fast/node-initialize.yaml",
    "node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
    "pod/fast/pod-delete.yaml",
    "pod/fast/pod-ready.yaml",
)


def read_documents(path: Path) -> list[Document]:
    """Read every object of a YAML file, or of all YAML files of a directory."""
    files = sorted(path.glob("*.y*ml")) if path.is_dir() else [path]
    return [document for file in files for document in parse_documents(file.read_text())]


def parse_documents(text: str) -> list[Document]:
    """Parse every object of a YAML text; lists are unfolded."""
    # The C loader reads the CRDs in a tenth of the time, but not every PyYAML has it.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found: list[Document] = []
    for document in yaml.load_all(text, Loader=loader):
        if document:
            found.extend(document["items"] if document.get("kind") == "List" else [document])
    return found


def write_tekton(module: Path, target: Path) -> None:
    """Write the CRDs and settings of a Tekton module directory into a cache directory."""
    config = module / "config"
    crds = [_without_webhook(crd) for crd in read_documents(config / "300-crds")]
    (target / CRDS).write_text(json.dumps(crds))
    settings = [*read_documents(config / "100-namespace"), *read_documents(config / "resolvers" / "100-namespace.yaml")]
    files = [*sorted(config.glob("config-*.yaml")), *sorted((config / "resolvers").glob("*config*.yaml"))]
    settings += [_quiet(document) for file in files for document in read_documents(file)]
    (target / SETTINGS).write_text(json.dumps(settings))


def write_kwok(module: Path, target: Path) -> None:
    """Write the stock stages of a KWOK module directory into a cache directory."""
    stages = [stage for name in _STOCK_STAGES for stage in read_documents(module / "kustomize" / "stage" / name)]
    for stage in stages:
        if stage["metadata"]["name"] == "pod-ready":
            _spare(stage, pod.Outcome.IMAGE_PULL)
    (target / STAGES).write_text(json.dumps(stages))


def _without_webhook(crd: Document) -> Document:
    """Make a CRD work without Tekton's webhook: nothing is converted, only the stored version is served."""
    crd["spec"].pop("conversion", None)
    for version in crd["spec"]["versions"]:
        version["served"] = bool(version["storage"])
        status = version.get("schema", {}).get("openAPIV3Schema", {}).get("properties", {}).get("status", {})
        # The shipped ResolutionRequest requires fields that a failed resolution never has; the webhook lets it pass.
        status.pop("required", None)
    return crd


def _quiet(settings: Document) -> Document:
    """Switch metrics off: nobody scrapes a local cluster, and the exporter opens a port."""
    if settings["metadata"]["name"] == "config-observability":
        settings["data"]["metrics-protocol"] = "none"
    settings.get("data", {}).pop("_example", None)
    return settings


def _spare(stage: Document, outcome: str) -> None:
    """Keep a stock stage away from pods whose annotation asks for another end."""
    task = '.metadata.labels["tekton.dev/pipelineTask"]'
    asked = f'(.metadata.annotations["{pod.TASK}"] // {task}) == {task}'
    key = f'if {asked} then .metadata.annotations["{pod.OUTCOME}"] else null end'
    stage["spec"]["selector"]["matchExpressions"].append({"key": key, "operator": "NotIn", "values": [outcome]})


def stock_stages(path: Path) -> Iterator[Document]:
    """Yield the prepared stock stages; pod-ready is kept away from an image that asks not to be pulled, too."""
    asked = '(.spec.containers[0].image | capture("/outcome-(?<asked>image-pull)") | .asked) // null'
    for stage in load(path):
        if stage["metadata"]["name"] == "pod-ready":
            spared = {"key": asked, "operator": "NotIn", "values": [pod.Outcome.IMAGE_PULL.value]}
            stage["spec"]["selector"]["matchExpressions"].append(spared)
        yield stage


def load(path: Path) -> Iterator[Document]:
    """Yield the prepared objects of a file in the cache."""
    yield from json.loads(path.read_text())
