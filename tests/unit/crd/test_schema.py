"""deploy/crd.yaml says exactly what fields.yaml lists: no field more, none less, no other bound."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
CRD: dict[str, Any] = yaml.safe_load((ROOT / "deploy/crd.yaml").read_text(encoding="utf-8"))
VERSION: dict[str, Any] = CRD["spec"]["versions"][0]
SCHEMA: dict[str, Any] = VERSION["schema"]["openAPIV3Schema"]

# Word of the schema -> word of the list. Any other word in the schema is a rule nobody listed.
WORDS = {
    "type": "type",
    "format": "format",
    "enum": "enum",
    "default": "default",
    "pattern": "pattern",
    "minimum": "minimum",
    "minLength": "min",
    "maxLength": "max",
    "maxItems": "max_items",
    "x-kubernetes-map-type": "map_type",
    "x-kubernetes-list-type": "list_type",
    "x-kubernetes-list-map-keys": "list_keys",
}
STRUCTURE = {"properties", "items", "additionalProperties", "required", "description"}


def rules(node: dict[str, Any]) -> dict[str, Any]:
    unknown = node.keys() - WORDS.keys() - STRUCTURE
    assert not unknown, f"rules that fields.yaml cannot express: {unknown}"
    return {word: node[key] for key, word in WORDS.items() if key in node}


def walk(parent: dict[str, Any], prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each field as fields.yaml writes it: a list or a map stands as one line, with `[]` or `{}`."""
    for name, node in parent.get("properties", {}).items():
        path, field, inner = f"{prefix}.{name}", rules(node), node
        if node["type"] == "array":
            path, inner = f"{path}[]", node["items"]
            field = {**field, **rules(inner)}
        elif "additionalProperties" in node:
            path, inner = f"{path}{{}}", node["additionalProperties"]
            field = rules(inner)
        yield path, {**field, "required": name in parent.get("required", [])}
        yield from walk(inner, path)


@cache
def schema_fields() -> dict[str, dict[str, Any]]:
    properties = SCHEMA["properties"]
    fields = {"status": {**rules(properties["status"]), "required": "status" in SCHEMA.get("required", [])}}
    return fields | dict(walk(properties["spec"], "spec")) | dict(walk(properties["status"], "status"))


@cache
def listed_fields() -> dict[str, dict[str, Any]]:
    listed = yaml.safe_load(Path(__file__).with_name("fields.yaml").read_text(encoding="utf-8"))
    lines = [*listed["spec"], *listed["status"]]
    assert len({line["path"] for line in lines}) == len(lines)
    return {line["path"]: {key: line[key] for key in line.keys() - {"path", "ours", "note"}} for line in lines}


def nodes(node: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for inner in ("items", "additionalProperties"):
        if inner in node:
            yield from nodes(node[inner], f"{path}.{inner}")


def test_the_same_fields() -> None:
    assert sorted(schema_fields()) == sorted(listed_fields())


@pytest.mark.parametrize("path", sorted(listed_fields()))
def test_the_same_rules(path: str) -> None:
    assert schema_fields()[path] == listed_fields()[path]


@pytest.mark.parametrize("path", [path for path, _ in nodes(SCHEMA, "wfe") if path != "wfe.metadata"])
def test_explained(path: str) -> None:
    description = dict(nodes(SCHEMA, "wfe"))[path].get("description", "")
    assert len(description) >= 10
    assert description.endswith(".")


def test_names() -> None:
    assert CRD["metadata"]["name"] == "workflowexecutions.kubernaut.ai"
    assert CRD["spec"]["scope"] == "Namespaced"
    names = CRD["spec"]["names"]
    assert (names["kind"], names["shortNames"], names["categories"]) == ("WorkflowExecution", ["wfe"], ["kubernaut"])
    assert [version["name"] for version in CRD["spec"]["versions"]] == ["v1alpha1"]
    assert VERSION["subresources"] == {"status": {}}
    assert VERSION["selectableFields"] == [{"jsonPath": ".spec.targetResource"}]


def test_columns() -> None:
    columns = [(column["name"], column.get("priority", 0)) for column in VERSION["additionalPrinterColumns"]]
    narrow = [name for name, priority in columns if priority == 0]
    assert narrow == ["Phase", "WorkflowID", "Target", "Reason", "Duration", "Age"]
    assert [name for name, priority in columns if priority] == ["Attempt", "Next"]


def test_only_spec_is_immutable() -> None:
    ruled = {
        path: node["x-kubernetes-validations"]
        for path, node in nodes(SCHEMA, "wfe")
        if "x-kubernetes-validations" in node
    }
    assert [rule["rule"] for rule in ruled.pop("wfe.spec")] == ["self == oldSelf"]
    assert not ruled


def test_nothing_is_required_at_the_root() -> None:
    assert "required" not in SCHEMA
