"""deploy/admission.yaml on a real API server: who asks has to sign, and no ask changes hands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from devcluster.cluster import Cluster
from models.freeze import FREEZE_AUDITED, FREEZE_NAME, UNFREEZE_REQUESTED_BY
from models.names import ASK_CANCEL, ASK_CLEAR, ASK_UNLOCK, FINALIZER, REQUESTED_BY
from tests.contract.crd.conftest import DEPLOY, Kubectl, minimal_spec
from tests.unsigned import await_unsigned_taken
from tests.waiting import until

EXECUTOR = ("system:serviceaccount:kubernaut-system:kubernaut-executor", "system:serviceaccounts")
ASKS = (ASK_CANCEL, ASK_CLEAR, ASK_UNLOCK)
RECORDED_IN = {ASK_CANCEL: "cancellation", ASK_CLEAR: "blockClearance", ASK_UNLOCK: "unlock"}


class Person:
    """Somebody who may do everything that admission lets him."""

    def __init__(self, kubectl: Kubectl, name: str, group: str = "system:masters") -> None:
        self._kubectl = kubectl
        self._words = ("--as", name, "--as-group", group)
        self.name = name

    def __call__(self, *words: str, stdin: object = None, fails: bool = False) -> str:
        return self._kubectl(*self._words, *words, stdin=stdin, fails=fails)

    def annotate(self, name: str, *pairs: str, fails: bool = False) -> str:
        return self("annotate", "--overwrite", "wfe", name, *pairs, fails=fails)

    def sign(self, name: str, *pairs: str, fails: bool = False) -> str:
        return self.annotate(name, *pairs, f"{REQUESTED_BY}={self.name}", fails=fails)


@pytest.fixture
def policy(crd_cluster: Cluster, kubectl: Kubectl) -> Iterator[Kubectl]:
    """Put the policy in force: a policy that was just created takes a moment to be seen by the API server."""
    crd_cluster.apply(DEPLOY / "admission.yaml")
    kubectl.create("probe")

    def in_force() -> bool:
        words = ("annotate", "wfe", "probe", "--dry-run=server", f"{ASK_CANCEL}=x")
        try:
            return "requested-by" in kubectl(*words, fails=True)
        except AssertionError:
            return False

    until(in_force, 60, "the policy is in force")
    yield kubectl
    kubectl("delete", "-f", str(DEPLOY / "admission.yaml"))
    await_unsigned_taken(crd_cluster.kubeconfig)


@pytest.fixture
def alice(policy: Kubectl) -> Person:
    return Person(policy, "alice")


@pytest.fixture
def bob(policy: Kubectl) -> Person:
    return Person(policy, "bob@example.com")


def record(kubectl: Kubectl, name: str, ask: str) -> None:
    """Write as the executor does that it has seen an ask."""
    at = "2026-01-01T00:00:00Z"
    clearance = {"clearedAt": at, "clearedBy": "x", "clearReason": "x", "clearMethod": "Annotation"}
    value = clearance if ask == ASK_CLEAR else {"at": at, "by": "x", "reason": "x"}
    patch = json.dumps({"status": {RECORDED_IN[ask]: value}})
    kubectl("patch", "wfe", name, "--subresource=status", "--type=merge", "-p", patch)


@pytest.mark.parametrize("ask", ASKS)
def test_who_asks_signs_with_his_own_name(alice: Person, policy: Kubectl, ask: str) -> None:
    policy.create("one")
    for pairs in ([], [f"{REQUESTED_BY}=bob@example.com"], [f"{REQUESTED_BY}="]):
        said = alice.annotate("one", f"{ask}=why", *pairs, fails=True)
        assert "Forbidden" in said
        assert f'set the annotation {REQUESTED_BY}: "alice" in the same request' in said
        assert len(said.strip().splitlines()) == 1
    alice.sign("one", f"{ask}=why")
    assert policy.get("one")["metadata"]["annotations"] == {ask: "why", REQUESTED_BY: "alice"}


@pytest.mark.parametrize("ask", ASKS)
def test_changing_or_withdrawing_an_ask_is_signed_too(alice: Person, bob: Person, policy: Kubectl, ask: str) -> None:
    policy.create("one")
    alice.sign("one", f"{ask}=why")
    assert '"bob@example.com"' in bob.annotate("one", f"{ask}=another reason", fails=True)
    assert '"bob@example.com"' in bob.annotate("one", f"{ask}-", fails=True)
    assert '"bob@example.com"' in bob.annotate("one", f"{ask}-", f"{REQUESTED_BY}-", fails=True)
    bob.sign("one", f"{ask}-")
    assert policy.get("one")["metadata"]["annotations"] == {REQUESTED_BY: "bob@example.com"}
    bob.sign("one", f"{ask}=a reason of my own")


@pytest.mark.parametrize("ask", ASKS)
def test_an_ask_that_stands_does_not_change_hands(alice: Person, bob: Person, policy: Kubectl, ask: str) -> None:
    policy.create("one")
    alice.sign("one", f"{ask}=why")
    other = next(each for each in ASKS if each != ask)
    for pairs in ([], [f"{other}=mine"]):
        said = bob.sign("one", *pairs, fails=True)
        assert f"the annotation {ask} of alice still waits for the executor" in said
    bob.sign("one", f"{ask}-", f"{other}=mine")


@pytest.mark.parametrize("ask", ASKS)
def test_what_the_executor_has_recorded_holds_nobody_up(alice: Person, bob: Person, policy: Kubectl, ask: str) -> None:
    policy.create("one")
    alice.sign("one", f"{ask}=why")
    record(policy, "one", ask)
    bob.sign("one", f"{next(each for each in ASKS if each != ask)}=mine")
    assert policy.get("one")["metadata"]["annotations"][REQUESTED_BY] == "bob@example.com"


def failure(*, started: bool) -> dict[str, Any]:
    details = {
        "reason": "TaskFailed",
        "message": "boom",
        "failedAt": "2026-01-01T00:00:00Z",
        "naturalLanguageSummary": "It broke.",
        "wasExecutionFailure": started,
        "failedTaskIndex": 0,
        "failedTaskName": "apply",
    }
    return {"phase": "Failed", "failureDetails": details}


UNLOCKED = {"unlock": {"at": "2026-01-01T00:00:00Z", "by": "x", "reason": "x"}}


def put(kubectl: Kubectl, name: str, status: dict[str, Any]) -> None:
    kubectl("patch", "wfe", name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))


def test_an_ask_that_came_too_late_holds_nobody_up(alice: Person, bob: Person, policy: Kubectl) -> None:
    ends = (
        (ASK_CANCEL, {"phase": "Completed"}),
        (ASK_CANCEL, {"phase": "Skipped"}),
        (ASK_CANCEL, failure(started=True)),
        (ASK_CLEAR, {"phase": "Completed"}),
        (ASK_CLEAR, failure(started=False)),
        (ASK_CLEAR, {**failure(started=True), **UNLOCKED}),
    )
    for number, (late, status) in enumerate(ends):
        name = f"late-{number}"
        policy.create(name)
        alice.sign(name, f"{late}=sorry")
        put(policy, name, status)
        assert '"bob@example.com"' in bob.annotate(name, f"{late}-", fails=True)
        bob.sign(name, f"{ASK_UNLOCK}=mine")
        # What he asks now stands again.
        stands = "unlock" not in status
        said = alice.sign(name, f"{late}-", fails=stands)
        assert not stands or f"the annotation {ASK_UNLOCK} of bob@example.com still waits" in said


def test_an_ask_that_is_still_to_be_answered_does_not_change_hands(alice: Person, bob: Person, policy: Kubectl) -> None:
    answerable = (
        (ASK_CANCEL, {"phase": "Pending"}),
        (ASK_CANCEL, {"phase": "Running"}),
        (ASK_CLEAR, {"phase": "Running"}),
        (ASK_CLEAR, failure(started=True)),
        (ASK_UNLOCK, {"phase": "Completed"}),
        (ASK_UNLOCK, failure(started=True)),
    )
    for number, (ask, status) in enumerate(answerable):
        name = f"open-{number}"
        policy.create(name)
        alice.sign(name, f"{ask}=why")
        put(policy, name, status)
        assert f"the annotation {ask} of alice still waits" in bob.sign(name, fails=True)
        # Nor by an end that is sent along.
        patch = {"metadata": {"annotations": {REQUESTED_BY: bob.name}}, "status": {"phase": "Completed"}}
        said = bob("patch", "wfe", name, "--type=merge", "-p", json.dumps(patch), fails=True)
        assert f"the annotation {ask} of alice still waits" in said


def test_asks_of_a_new_execution_are_signed(alice: Person) -> None:
    manifest: dict[str, Any] = {
        "apiVersion": "kubernaut.ai/v1alpha1",
        "kind": "WorkflowExecution",
        "metadata": {"name": "new", "annotations": {ASK_CANCEL: "never mind"}},
        "spec": minimal_spec(),
    }
    assert '"alice"' in alice("create", "-f", "-", stdin=manifest, fails=True)
    manifest["metadata"]["annotations"][REQUESTED_BY] = "bob@example.com"
    assert '"alice"' in alice("create", "-f", "-", stdin=manifest, fails=True)
    manifest["metadata"]["annotations"][REQUESTED_BY] = "alice"
    alice("create", "-f", "-", stdin=manifest)


def test_what_asks_nothing_needs_no_signature(alice: Person, bob: Person, policy: Kubectl) -> None:
    policy.create("one")
    alice.sign("one", f"{ASK_CANCEL}=why")
    bob.annotate("one", "example.com/note=seen")
    bob("label", "wfe", "one", "team=shop")
    bob("apply", "--server-side", "-f", "-", stdin=applied("one"))
    bob("delete", "wfe", "one", "--wait=false")


def applied(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "kubernaut.ai/v1alpha1",
        "kind": "WorkflowExecution",
        "metadata": {"name": name, "labels": {"tier": "web"}},
        "spec": minimal_spec(),
    }


def test_the_executor_goes_on_unsigned(alice: Person, policy: Kubectl, crd_cluster: Cluster) -> None:
    executor = Person(policy, *EXECUTOR)
    policy.create("one")
    alice.sign("one", f"{ASK_CANCEL}=why")
    for finalizers in ([FINALIZER], []):
        patch = json.dumps({"metadata": {"finalizers": finalizers}})
        executor("patch", "wfe", "one", "--type=merge", "-p", patch)
    status = json.dumps(
        {"status": {"phase": "Failed", "cancellation": {"at": "2026-01-01T00:00:00Z", "by": "alice", "reason": "why"}}}
    )
    executor("patch", "wfe", "one", "--subresource=status", "--type=merge", "-p", status)
    # An annotation cannot be smuggled in with a status.
    smuggled = json.dumps({"metadata": {"annotations": {ASK_UNLOCK: "x"}}})
    executor("patch", "wfe", "one", "--subresource=status", "--type=merge", "-p", smuggled)
    assert ASK_UNLOCK not in policy.get("one")["metadata"]["annotations"]


def freeze(by: str | None, reason: str = "maintenance") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": FREEZE_NAME, "annotations": {} if by is None else {REQUESTED_BY: by}},
        "data": {"reason": reason},
    }


def test_who_freezes_signs(alice: Person, bob: Person, policy: Kubectl) -> None:
    for by in (None, "bob@example.com"):
        assert '"alice"' in alice("create", "-f", "-", stdin=freeze(by), fails=True)
    alice("create", "-f", "-", stdin=freeze("alice"))
    patch = json.dumps({"data": {"reason": "for ever"}})
    assert '"bob@example.com"' in bob("patch", "cm", FREEZE_NAME, "--type=merge", "-p", patch, fails=True)
    bob("label", "cm", FREEZE_NAME, "seen=yes")
    bob("replace", "-f", "-", stdin=freeze("bob@example.com", "for ever"))
    mark = f"{UNFREEZE_REQUESTED_BY}=alice"
    assert f'{UNFREEZE_REQUESTED_BY}: "bob@example.com"' in bob("annotate", "cm", FREEZE_NAME, mark, fails=True)
    bob("annotate", "cm", FREEZE_NAME, f"{UNFREEZE_REQUESTED_BY}={bob.name}")
    executor = Person(policy, EXECUTOR[0])
    executor("annotate", "cm", FREEZE_NAME, f"{FREEZE_AUDITED}=yes")
    bob("delete", "cm", FREEZE_NAME)


def test_other_config_maps_are_not_touched(alice: Person) -> None:
    other = freeze(None)
    other["metadata"]["name"] = "another"
    alice("create", "-f", "-", stdin=other)
