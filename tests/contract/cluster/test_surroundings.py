"""The port `Surroundings` on a real API server: the freeze, the engines, the admission policy; and what is unknown."""

from __future__ import annotations

from typing import Any

import pytest

from models.errors import Transient
from models.execution import Engine
from models.freeze import FREEZE_FINALIZER, FREEZE_NAME, freeze_document
from tasks import clock
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from tasks.adapters.freeze_object import FreezeObject, finalizers
from tasks.adapters.surroundings import ADMISSION_NAME, ClusterSurroundings

ADMISSION = "admissionregistration.k8s.io/v1"


class Time:
    """The monotonic clock, as the test wants it."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    held = Time()
    monkeypatch.setattr(clock, "monotonic", held.monotonic)
    return held


def test_a_freeze_is_seen_within_two_seconds_and_its_end_at_once(cluster: Cluster, namespace: str, time: Time) -> None:
    around = ClusterSurroundings(cluster, namespace)
    assert around.freeze() is None
    made = cluster.create(paths.config_maps(namespace), freeze_document("migration", "alice", namespace))
    time.seconds += 1.9
    assert around.freeze() is None, "known, and young enough"
    time.seconds += 0.2
    frozen = around.freeze()
    assert frozen is not None
    assert (frozen.reason, frozen.by, frozen.uid) == ("migration", "alice", made["metadata"]["uid"])
    cluster.delete(paths.config_map(namespace, FREEZE_NAME), uid=frozen.uid)
    time.seconds += 0.3
    assert around.freeze() is None, "its finalizer keeps the object, not the freeze"


def test_when_nobody_can_say_for_too_long_nothing_may_start(
    cluster: Cluster, namespace: str, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = ClusterSurroundings(cluster, namespace)
    assert around.freeze() is None

    def away(path: str) -> None:
        raise Transient(f"GET {path}: no answer")

    monkeypatch.setattr(cluster, "get", away)
    time.seconds += 3.9
    assert around.freeze() is None
    time.seconds += 0.2
    with pytest.raises(Transient, match="unknown for more than 4 s"):
        around.freeze()
    monkeypatch.undo()
    assert ClusterSurroundings(cluster, namespace).freeze() is None


def test_a_tekton_that_was_absent_is_found_again(cluster: Cluster, namespace: str, time: Time) -> None:
    around = ClusterSurroundings(cluster, namespace)
    assert [around.engine_available(engine) for engine in Engine] == [True, True]
    around.engine_absent(Engine.TEKTON)
    assert around.engine_available(Engine.TEKTON), "asked for anew"
    around._tekton._ask = lambda: False
    around.engine_absent(Engine.TEKTON)
    assert not around.engine_available(Engine.TEKTON)
    assert around.engine_available(Engine.JOB)


def test_a_version_of_an_api_that_is_not_served_is_absent(
    cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = ClusterSurroundings(cluster, namespace)
    monkeypatch.setattr(paths, "discovery", lambda api: "/apis/tekton.example/v1")
    around.engine_absent(Engine.TEKTON)
    assert not around.engine_available(Engine.TEKTON)


def test_only_a_policy_with_its_binding_vouches(cluster: Cluster, namespace: str, time: Time) -> None:
    around = ClusterSurroundings(cluster, namespace)
    assert not around.requester_verified()
    policy, binding = paths.admission(ADMISSION_NAME)
    metadata = {"name": ADMISSION_NAME}
    # It matches nothing, so that other tests are not asked to sign.
    rule = {"apiGroups": ["nobody"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["none"]}
    spec = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "true"}],
    }
    made = [cluster.create(policy.rpartition("/")[0], _document("ValidatingAdmissionPolicy", metadata, spec))]
    try:
        time.seconds += 11
        assert not around.requester_verified(), "a policy alone denies nothing"
        bound = {"policyName": ADMISSION_NAME, "validationActions": ["Deny"]}
        body = _document("ValidatingAdmissionPolicyBinding", metadata, bound)
        made.append(cluster.create(binding.rpartition("/")[0], body))
        assert not around.requester_verified(), "known for ten seconds"
        time.seconds += 11
        assert around.requester_verified()
    finally:
        for path, document in zip((policy, binding), made, strict=False):
            cluster.delete(path, uid=document["metadata"]["uid"])


def test_a_freeze_made_by_hand_is_guarded_and_let_go(cluster: Cluster, namespace: str) -> None:
    plain = freeze_document("by hand", "alice", namespace)
    del plain["metadata"]["finalizers"]
    cluster.create(paths.config_maps(namespace), plain)
    freeze = FreezeObject(cluster, namespace)
    document = freeze.read()
    assert document is not None
    guarded = freeze.note_audited(freeze.guard(document))
    assert finalizers(guarded) == [FREEZE_FINALIZER]
    assert guarded["metadata"]["annotations"]["kubernaut.ai/requested-by"] == "alice"
    cluster.delete(paths.config_map(namespace, FREEZE_NAME), uid=guarded["metadata"]["uid"])
    left = freeze.read()
    assert left is not None
    freeze.let_go(left)
    assert freeze.read() is None
    freeze.let_go(left)


def _document(kind: str, metadata: dict[str, str], spec: Any) -> dict[str, object]:
    return {"apiVersion": ADMISSION, "kind": kind, "metadata": metadata, "spec": spec}
