"""Documents from the CRD's own schema: what the API server would take, written by somebody who means no good.

A strategy for the part of OpenAPI that structural schemas use; objects leave out optional fields, texts hold every
letter, numbers are as large as their format allows.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from models.names import ASK_CANCEL, ASK_CLEAR, ASK_UNLOCK, FINALIZER, LABEL_CORRELATION_ID, REQUESTED_BY

CRD = Path(__file__).parents[3] / "deploy" / "crd.yaml"

_ODD = [
    *(
        "",
        " ",
        "\n",
        "\x00",
        "/",
        "//",
        "a/b",
        "a/b/c",
        "a/b/c/d",
        "/b/c",
        "a//c",
        "ns/deployment/ä",
        "TARGET_RESOURCE",
    ),
    *("x" * 70, "_" * 70, "-" * 70, "é" * 300, "𝒳" * 100, "{{}}", "$(params.x)", "\u202e", "a\u0000b", "\ufeff"),
    *(
        "0",
        "0s",
        "1ns",
        "500ms",
        "-1s",
        "1h30m",
        "9999999h",
        "2562047h47m16.854775807s",
        "0s" * 300,
        "sha256:" + "0" * 64,
    ),
    *("Completed", "True", "BackingOff", "workflow.started", "workflow.failed", "default/other", "null", "1e999"),
]
texts = st.sampled_from(_ODD) | st.text(max_size=30)
"""Lone surrogates too: the API server never sends one, but a total function does not ask."""

_instants = st.sampled_from(
    [
        *("2026-05-04T11:59:00Z", "2026-05-04T12:00:00Z", "2026-05-04T12:00:01Z", "2026-05-04T13:00:00.123456+02:00"),
        *("0000-01-01T00:00:00Z", "0001-01-01T00:00:00+12:00", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59.9-01:00"),
    ]
)
_LIMITS = {"int32": 2**31 - 1, "int64": 2**63 - 1}


def documents(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Return a strategy for documents of a schema."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema["type"]:
        case "object" if "additionalProperties" in schema:
            return st.dictionaries(texts, documents(schema["additionalProperties"]), max_size=4)
        case "object":
            return _objects(schema)
        case "array":
            return st.lists(documents(schema["items"]), max_size=4)
        case "string" if schema.get("format") == "date-time":
            return _instants
        case "string":
            return texts
        case "integer":
            most = _LIMITS[schema.get("format", "int64")]
            least = schema.get("minimum", -most - 1)
            return st.sampled_from([least, 0, 1, 2, 5, most]) | st.integers(least, most)
        case "number":
            return st.floats(allow_nan=False, allow_infinity=False)
        case "boolean":
            return st.booleans()
    raise AssertionError(schema)


def _objects(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    properties = {name: documents(inner) for name, inner in schema.get("properties", {}).items()}
    required = set(schema.get("required", ()))
    return st.fixed_dictionaries(
        {name: inner for name, inner in properties.items() if name in required},
        optional={name: inner for name, inner in properties.items() if name not in required},
    )


def executions() -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for whole WorkflowExecutions."""
    crd = yaml.safe_load(CRD.read_text(encoding="utf-8"))
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    names = [ASK_CANCEL, ASK_CLEAR, ASK_UNLOCK, REQUESTED_BY, "x.example/y"]
    metadata = st.fixed_dictionaries(
        {
            "name": st.sampled_from(["x", "a.b", "y" * 253]),
            "namespace": st.just("default"),
            "uid": st.just("0a1b"),
            "resourceVersion": st.just("42"),
            "creationTimestamp": st.just("2026-05-04T11:59:30Z"),
            "finalizers": st.sampled_from([[], [FINALIZER], ["x.example/y", FINALIZER]]),
        },
        optional={
            "deletionTimestamp": _instants,
            "labels": st.dictionaries(st.sampled_from([LABEL_CORRELATION_ID, "a"]), texts, max_size=2),
            "annotations": st.dictionaries(st.sampled_from(names), texts, max_size=3),
            "generation": st.integers(0, 5),
        },
    )
    spec, status = documents(schema["spec"]), documents(schema["status"])
    return st.builds(
        lambda m, sp, su: {"metadata": m, "spec": sp, **({"status": su} if su else {})}, metadata, spec, status
    )
