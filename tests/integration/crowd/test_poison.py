"""An execution whose status the API server never takes: growing waits, one Warning, and all others go on."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from cli.local import Stack
from devcluster import Cluster as LocalCluster
from models.instants import parse_instant
from tasks.adapters.cluster import Cluster
from tests.terminal import Terminal
from tests.waiting import until

ADMISSION = "/apis/admissionregistration.k8s.io/v1"
NAME = "no-status.test.example"
POISON, PROBE = "poison", "probe"
REFUSAL = "no status for you"
REFUSALS = 5
FIRST_WAIT, JITTER = 0.5, 0.1
"""tasks/reconciling.py: TRY_AGAIN, and by how much of itself a wait may be shorter. Seconds."""


@contextmanager
def _status_refused(terminal: Terminal, cluster: Cluster) -> Iterator[None]:
    """Let the API server refuse every status of one execution, and of one that shows when it does."""
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": NAME}}
    rule = {
        "apiGroups": ["kubernaut.ai"],
        "apiVersions": ["*"],
        "resources": ["workflowexecutions/status"],
        "operations": ["UPDATE"],
    }
    spec = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": f"!(object.metadata.name in ['{POISON}', '{PROBE}'])", "message": REFUSAL}],
    }
    binding = {"policyName": NAME, "validationActions": ["Deny"]}
    kinds = {
        "validatingadmissionpolicies": {**kind, "kind": "ValidatingAdmissionPolicy", "spec": spec},
        "validatingadmissionpolicybindings": {**kind, "kind": "ValidatingAdmissionPolicyBinding", "spec": binding},
    }
    made = {plural: cluster.create(f"{ADMISSION}/{plural}", body) for plural, body in kinds.items()}
    probe = ("patch", "wfe", PROBE, "--subresource=status", "--type=merge", "-p", '{"status": {"reason": "X"}}')
    try:
        until(lambda: REFUSAL in terminal.kubectl(*probe, "--dry-run=server", check=False), 60, "the policy rules")
        yield
    finally:
        for plural, document in made.items():
            cluster.delete(f"{ADMISSION}/{plural}/{NAME}", uid=document["metadata"]["uid"])


def _refused(log: Path, after: int) -> list[datetime]:
    """Return when the executor's writes of the status were refused, by the API server's audit log."""
    lines = log.read_bytes()[after:].decode().splitlines()
    entries: list[dict[str, Any]] = [json.loads(line) for line in lines if line.endswith("}")]
    return [
        parse_instant(entry["requestReceivedTimestamp"])
        for entry in entries
        if entry["requestURI"].partition("?")[0].endswith(f"/workflowexecutions/{POISON}/status")
        and entry["user"]["username"].endswith(":kubernaut-executor")
        and entry["responseStatus"]["code"] >= 400
    ]


@pytest.mark.timeout(300)
def test_status_that_is_never_taken_costs_growing_waits_and_nobody_else(
    stack: Stack, terminal: Terminal, api_cluster: LocalCluster
) -> None:
    assert api_cluster.audit_log is not None
    log, after, pids = api_cluster.audit_log, api_cluster.audit_log.stat().st_size, stack.pids
    terminal.declare(PROBE, "crowd/deployment/probe")
    terminal.reaches(PROBE, "Completed", 60)
    assert terminal.told(PROBE) == ["started", "completed"]
    with _status_refused(terminal, Cluster.connect(stack.kubeconfig)):
        terminal.declare(POISON, "crowd/deployment/poison", "outcome-hang")
        until(lambda: _refused(log, after), 60, "a first refusal", every=0.2)
        for name in ("other-0", "other-1"):
            terminal.declare(name, f"crowd/deployment/{name}")
            terminal.reaches(name, "Completed", 60)
        until(lambda: len(_refused(log, after)) >= REFUSALS, 90, f"{REFUSALS} refusals", every=0.5)
        refused = _refused(log, after)[:REFUSALS]
        waits = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(refused)]
        assert all(wait >= FIRST_WAIT * (1 - JITTER) * 2**number for number, wait in enumerate(waits)), waits
        assert terminal.events(POISON) == ["WorkflowFailed"]
        assert REFUSAL in terminal.kubectl("get", "events", "--field-selector", f"involvedObject.name={POISON}")
        assert len(terminal.runs_of(POISON)) == 1
        assert terminal.status(POISON) == {"phase": "Pending"}
        assert stack.pids == pids
    terminal.reaches(POISON, "Running", 60)
    assert len(terminal.runs_of(POISON)) == 1
