"""What makes an execution want more than its share: changes without end, wakes without end, a status nobody takes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from cli.local import Stack
from models.errors import Conflict
from models.instants import parse_instant
from models.keys import Key
from models.settings import parse_settings
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from tasks.app import build_app
from tasks.parts import build_parts
from tests.terminal import Terminal
from tests.waiting import until

ADMISSION = "/apis/admissionregistration.k8s.io/v1"
POLICY = "no-status.test.example"
REFUSAL = "no status for you"


def change(stack: Stack, key: Key, connection: int, times: int) -> None:
    """Change an annotation of an execution that might ask for something, again and again."""
    cluster = Cluster.connect(stack.kubeconfig)
    for number in range(times):
        note = {f"kubernaut.ai/note-{connection}": str(number)}
        with suppress(Conflict):  # a server under load may leave it to us to say it again
            cluster.merge_patch(paths.execution(key), {"metadata": {"annotations": note}})


@contextmanager
def due_without_end(stack: Stack, key: Key) -> Iterator[None]:
    """Ask for passes of a key as fast as Redis takes it, as a watcher would that gathered nothing."""
    document = {"kubernetes": {"kubeconfig": stack.kubeconfig}, "redis": {"url": stack.redis_url}}
    settings = parse_settings(document, {}, {})
    publisher = build_parts(settings, build_app(settings), CollectorRegistry()).publisher
    stopping = threading.Event()

    def ask() -> None:
        while not stopping.is_set():
            publisher.wake([key])

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(20)
        assert not thread.is_alive()


@contextmanager
def status_refused(terminal: Terminal, poison: str, probe: str) -> Iterator[None]:
    """Let the API server refuse every status of one execution, and of an ended one, which shows when it does."""
    cluster = Cluster.connect(terminal.environment["KUBECONFIG"])
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": POLICY}}
    rule = {
        "apiGroups": ["kubernaut.ai"],
        "apiVersions": ["*"],
        "resources": ["workflowexecutions/status"],
        "operations": ["UPDATE"],
    }
    refusal = {"expression": f"!(object.metadata.name in ['{poison}', '{probe}'])", "message": REFUSAL}
    spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": [refusal]}
    binding = {"policyName": POLICY, "validationActions": ["Deny"]}
    kinds = {
        "validatingadmissionpolicies": {**kind, "kind": "ValidatingAdmissionPolicy", "spec": spec},
        "validatingadmissionpolicybindings": {**kind, "kind": "ValidatingAdmissionPolicyBinding", "spec": binding},
    }
    made = {plural: cluster.create(f"{ADMISSION}/{plural}", body) for plural, body in kinds.items()}
    patch = ("patch", "wfe", probe, "--subresource=status", "--type=merge", "-p", '{"status": {"reason": "X"}}')
    try:
        until(lambda: REFUSAL in terminal.kubectl(*patch, "--dry-run=server", check=False), 60, "the policy rules")
        yield
    finally:
        for plural, document in made.items():
            cluster.delete(f"{ADMISSION}/{plural}/{POLICY}", uid=document["metadata"]["uid"])


def refused_writes(log: Path, after: int, name: str) -> list[datetime]:
    """Return when the executor's writes of a status were refused, by the API server's audit log."""
    whole = log.read_bytes()[after:].rpartition(b"\n")[0].decode()
    entries: list[dict[str, Any]] = [json.loads(line) for line in whole.splitlines()]
    return [
        parse_instant(entry["requestReceivedTimestamp"])
        for entry in entries
        if entry["requestURI"].partition("?")[0].endswith(f"/workflowexecutions/{name}/status")
        and entry["user"]["username"].endswith(":kubernaut-executor")
        and entry["responseStatus"]["code"] >= 400
    ]
