"""The closed sets of the code are those of the CRD: a value outside would be refused by the API server for ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from models.execution import ConcurrencyPolicy, Engine
from models.status import FailureReason, Phase

CRD = Path(__file__).parents[3] / "deploy" / "crd.yaml"


def test_every_enum_of_the_crd_is_an_enum_of_the_code() -> None:
    (version,) = yaml.safe_load(CRD.read_text())["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]["properties"]
    status, spec = schema["status"]["properties"], schema["spec"]["properties"]
    assert _values(status["phase"]) == {phase.value for phase in Phase}
    reasons = {reason.value for reason in FailureReason}
    assert _values(status["failureDetails"]["properties"]["reason"]) == reasons
    assert _values(spec["workflowRef"]["properties"]["executionEngine"]) == {engine.value for engine in Engine}
    policies = {policy.value for policy in ConcurrencyPolicy}
    assert _values(spec["executionConfig"]["properties"]["concurrencyPolicy"]) == policies


def _values(field: dict[str, Any]) -> set[str]:
    return set(field["enum"])
