"""Whatever spec the CRD accepts: a pass never breaks on it, and its execution says where it stands."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.audit import pending_events
from models.audit_fields import FIELD
from models.audit_values import READERS as AUDIT_READERS
from models.duration import parse_duration
from models.errors import Permanent
from models.execution import Engine
from models.keys import Key
from models.names import API_VERSION, KIND
from models.status import FailureReason, Phase
from tasks.adapters import paths
from tasks.passes.reconcile import run_pass
from tests.integration.passes.conftest import NAMESPACE, World

_numbers = itertools.count(1)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=80) | st.sampled_from(
    ["", " ", "\n", "\x00", "a/b", "ns/deployment/ä", "/", "//", "a/b/c/d", "x" * 70, "_" * 70, "é" * 300, "{{}}"]
)
_TIMEOUTS = _TEXT | st.sampled_from(
    ["", "0", "0s", "1ns", "500ms", "1.5s", "-1s", "1h-5m", "1h30m", "9999999h", "2562047h", "0s" * 9000]
)


@st.composite
def _specs(draw: st.DrawFn) -> dict[str, Any]:
    workflow: dict[str, Any] = {
        "workflowId": draw(_TEXT),
        "version": draw(_TEXT),
        "containerImage": draw(_TEXT | st.just("registry.example/w:1")),
    }
    if draw(st.booleans()):
        workflow["containerDigest"] = draw(_TEXT | st.just("sha256:" + "0" * 64))
    if draw(st.booleans()):
        workflow["executionEngine"] = draw(st.sampled_from(["tekton", "job"]))
    spec: dict[str, Any] = {
        "remediationRequestRef": draw(st.just({}) | st.builds(dict, name=_TEXT)),
        "workflowRef": workflow,
        "targetResource": draw(_TEXT | st.builds("{}/{}/{}".format, _TEXT, _TEXT, _TEXT)),
    }
    if draw(st.booleans()):
        spec["parameters"] = draw(st.dictionaries(_TEXT | st.just("TARGET_RESOURCE"), _TEXT, max_size=4))
    if draw(st.booleans()):
        spec["executionConfig"] = {"timeout": draw(_TIMEOUTS)}
    return spec


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(spec=_specs())
def test_any_accepted_spec_runs_waits_or_fails_with_a_reason(world: World, spec: dict[str, Any]) -> None:
    key = _declare(world, f"any{next(_numbers)}", spec)
    if key is not None:
        _settles(world, key)


_PLAIN = {
    "remediationRequestRef": {"name": "rr"},
    "workflowRef": {"workflowId": "w", "version": "1", "containerImage": "registry.example/w:1"},
    "targetResource": "ns/deployment/plain",
}


@pytest.mark.parametrize(
    "changes",
    [
        {"targetResource": "ns/deployment/" + "ü" * 100_000},
        {"targetResource": "ns/deployment/" + "x" * 250_000},
        {"targetResource": "ns/deployment/" + "x" * 300_000},
        {"targetResource": "ns/deployment/a\nb\x00c"},
        {"remediationRequestRef": {"name": "\x00" * 300}},
        {"workflowRef": {"workflowId": "w" * 300_000, "version": "v" * 300_000, "containerImage": "i" * 300_000}},
        {"workflowRef": {"workflowId": "", "version": "", "containerImage": "a b\nc"}},
        {"parameters": {f"p{number}": "v" * 100 for number in range(3000)}},
        {"parameters": {"": "", "a b": "\n", "ünï": "\x00", "a.b": "$(params.x)", "A" * 1000: "x"}},
        {"executionConfig": {"timeout": "0s" * 100_000}},
        {"executionConfig": {"timeout": "1" * 100_000 + "h"}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_outsized_and_odd_specs(world: World, changes: Mapping[str, Any]) -> None:
    key = _declare(world, f"odd{next(_numbers)}", {**_PLAIN, **changes})
    assert key is not None
    _settles(world, key)


@pytest.mark.parametrize("name", ["a.b", "0", "x" * 253, "y" * 199 + "." + "y" * 53, "z" * 199 + "-" + "z" * 53])
def test_names_at_the_limit_get_a_run_and_their_kubernetes_event(world: World, name: str) -> None:
    key = _declare(world, name, {**_PLAIN, "targetResource": f"deployment/{name}"})
    assert key is not None
    assert _settles(world, key) is Phase.RUNNING
    assert world.events_of(key) == ["PipelineRunCreated"]


def _declare(world: World, name: str, spec: Mapping[str, Any]) -> Key | None:
    """Create an execution; None when the CRD does not take the spec."""
    metadata = {"name": name, "namespace": NAMESPACE}
    body = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec}
    try:
        world.cluster.create(paths.executions(NAMESPACE), body)
    except Permanent:
        return None
    return Key(NAMESPACE, name)


def _settles(world: World, key: Key) -> Phase:
    """Make passes, then check the promise; every pass raises what breaks it."""
    for _ in range(3):
        run_pass(key, world.parts.queue.now(), world.parts.policy, world.parts.ports, lambda: 0.0, lambda: None)
    execution = world.read(key)
    status = execution.status
    assert status.phase is Phase.RUNNING or status.reason
    if status.phase is Phase.FAILED:
        assert status.failure is not None
        assert status.failure.reason is FailureReason.CONFIGURATION_ERROR
    if status.phase is Phase.RUNNING:
        where = world.parts.policy.namespace
        if execution.spec.engine is Engine.JOB:
            job = world.cluster.get(paths.job(where, status.run_name))
            assert job is not None
            assert job["spec"]["activeDeadlineSeconds"] >= 1
        else:
            document = world.cluster.get(paths.pipeline_run(where, status.run_name))
            assert document is not None
            assert parse_duration(document["spec"]["timeouts"]["pipeline"]).total_seconds() >= 1
    for event in pending_events(execution):
        for name, value in event.body.items():
            AUDIT_READERS[FIELD[name].kind](value, FIELD[name])
    return status.phase
