"""`wfe` and `kubectl wfe` on a live stack whose runs nobody moves: the test itself says when a run has ended."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.local import Stack
from cli.local.parts import STORAGE
from devcluster import builds
from models.target import run_name
from tests.waiting import until

BIN = Path(sys.executable).parent
TARGET = "shop/deployment/cart"

pytestmark = pytest.mark.timeout(300)

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def stack(stack_factory: Callable[..., Stack]) -> Stack:
    return stack_factory(
        tekton="none",
        workers=1,
        settings={"execution.cooldown_period": "60s", "backoff.base_cooldown": "30s"},
    )


@pytest.fixture(scope="module")
def run(stack: Stack) -> Run:
    """Run a command line as a person would who has the stack's kubeconfig in KUBECONFIG."""
    path = os.pathsep.join([str(BIN), str(builds.kubectl().parent), os.environ.get("PATH", os.defpath)])
    environment = {**os.environ, "KUBECONFIG": stack.kubeconfig, "PATH": path}

    def run(*words: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, env=environment, input=text, capture_output=True, text=True, timeout=90, check=False
        )

    return run


@pytest.fixture(scope="module")
def held(run: Run) -> Iterator[None]:
    """Two executions of one target, of which the first runs."""
    for name in ("first", "second"):
        create(run, name, TARGET)
        wait_for(run, name, "phase", "Running" if name == "first" else "Pending")
    until(lambda: status(run, "second").get("queue"), 90, "the second is in line")
    return  # type: ignore[return-value]


def manifest(name: str, target: str) -> str:
    workflow = {"workflowId": "restart", "version": "1", "containerImage": "127.0.0.1:1/none:v1"}
    document = {
        "apiVersion": "kubernaut.ai/v1alpha1",
        "kind": "WorkflowExecution",
        "metadata": {"name": name},
        "spec": {
            "remediationRequestRef": {"name": f"remediation-{name}"},
            "workflowRef": workflow,
            "targetResource": target,
        },
    }
    return yaml.safe_dump(document)


def create(run: Run, name: str, target: str) -> None:
    done = run("kubectl", "create", "-f", "-", text=manifest(name, target))
    assert done.returncode == 0, done.stderr


def status(run: Run, name: str) -> dict[str, Any]:
    document = json.loads(run("kubectl", "get", "wfe", name, "-o", "json").stdout)
    found: dict[str, Any] = document.get("status") or {}
    return found


def wait_for(run: Run, name: str, field: str, value: str) -> None:
    until(lambda: status(run, name).get(field) == value, 90, f"{name} has {field} {value}")


def end_run(run: Run, target: str) -> None:
    """Play Tekton: the run succeeds."""
    condition = {"type": "Succeeded", "status": "True", "reason": "Succeeded", "message": "Tasks Completed: 1"}
    patch = json.dumps({"status": {"conditions": [condition]}})
    words = ("kubectl", "patch", "pipelinerun", run_name(target), "-n", "kubernaut-workflows", "--subresource=status")
    done = run(*words, "--type=merge", "-p", patch)
    assert done.returncode == 0, done.stderr


def ageless(text: str) -> list[str]:
    return [re.sub(r"\b(\d+[smhdy])+$", "AGE", line) for line in text.splitlines()]


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize(
    "options", [[], ["-A"], ["-o", "wide"], ["-o", "name"], ["first"], ["-n", "default", "second"]]
)
def test_get_prints_what_kubectl_prints(run: Run, options: list[str]) -> None:
    wanted = run("kubectl", "get", "wfe", *options)
    shown = run("wfe", "get", *options)
    assert shown.returncode == 0
    # kubectl pads the last column too.
    assert ageless(shown.stdout) == [line.rstrip() for line in ageless(wanted.stdout)]


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("form", ["json", "yaml"])
def test_get_gives_the_objects_kubectl_gives(run: Run, form: str) -> None:
    words = ("get", "wfe", "first", "-o", form)
    assert yaml.safe_load(run("wfe", "get", "first", "-o", form).stdout) == yaml.safe_load(
        run("kubectl", *words).stdout
    )
    listed = yaml.safe_load(run("wfe", "get", "-o", form).stdout)
    assert [item["metadata"]["name"] for item in listed["items"]] == ["first", "second"]


@pytest.mark.usefixtures("held")
def test_it_is_a_kubectl_plugin_with_options_before_and_after(run: Run) -> None:
    plain = ageless(run("wfe", "get", "-n", "default").stdout)
    assert ageless(run("kubectl", "wfe", "get", "-n", "default").stdout) == plain
    assert ageless(run("wfe", "-n", "default", "get").stdout) == plain
    empty = run("wfe", "get", "-n", "kube-public")
    assert (empty.returncode, empty.stderr) == (0, "No resources found in kube-public namespace.\n")


@pytest.mark.parametrize("command", ["get", "describe", "why", "audit", "cancel", "clear", "unlock"])
def test_an_unknown_name_is_one_line_and_exit_1(run: Run, command: str) -> None:
    reason = ["--reason", "x"] if command in ("cancel", "clear", "unlock") else []
    done = run("wfe", command, "absent", *reason)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == 'error: workflowexecutions.kubernaut.ai "absent" not found in namespace default\n'


@pytest.mark.usefixtures("held")
def test_why_names_position_holder_and_since(run: Run) -> None:
    told = run("wfe", "why", "second").stdout
    assert re.match(
        r"default/second is Pending: it is number 1 in line for shop/deployment/cart, "
        r"held by default/first since \S+ \(\w+\)\.\nNext: `wfe why first -n default`",
        told,
    )
    assert "it has been running for" in run("wfe", "why", "wfe/first").stdout


@pytest.mark.usefixtures("held")
def test_queue_shows_the_line(run: Run) -> None:
    rows = json.loads(run("wfe", "queue", "-o", "json").stdout)
    assert [(row["position"], row["execution"]) for row in rows if row["target"] == TARGET] == [
        (0, "default/first"),
        (1, "default/second"),
    ]
    assert "shop/deployment/cart" in run("wfe", "queue").stdout


@pytest.mark.usefixtures("held")
def test_describe_tells_why_and_lists_events(run: Run) -> None:
    text = run("wfe", "describe", "second").stdout
    assert "Why:            it is number 1 in line for shop/deployment/cart" in text
    assert re.search(r"Normal +Queued +\w+ +workflowexecution-controller", text)


@pytest.mark.usefixtures("held")
def test_status_is_well(run: Run) -> None:
    seen: list[str] = []

    def well() -> bool:
        done = run("wfe", "status")
        seen[:] = [done.stdout]
        return done.returncode == 0

    # A pause of the machine, or what is just being done, may look like trouble for a moment.
    until(well, 60, "everything is well", every=0.5)
    assert "1: worker-1@local" in seen[0]
    findings = {each["part"]: each for each in json.loads(run("wfe", "status", "-o", "json").stdout)}
    parts = "API server, Executions, Freeze, Watcher, Redis, Gate, Queue, Targets, Outbox, Workers, DataStorage"
    assert ", ".join(findings) == parts
    assert findings["Targets"]["detail"] == "1 held (`wfe locks`), 1 in line"
    assert findings["Executions"]["detail"] == "1 Pending (1 TargetResourceBusy), 1 Running"
    assert findings["Freeze"]["detail"] == "nothing is frozen"


@pytest.mark.usefixtures("held")
def test_cooldown_is_told_with_its_end_and_the_story_is_read_back(run: Run) -> None:
    end_run(run, TARGET)
    wait_for(run, "first", "phase", "Completed")
    ended = json.loads(run("kubectl", "get", "wfe", "first", "-o", "json").stdout)["status"]["completionTime"]
    wait_for(run, "second", "reason", "RecentlyRemediated")
    told = run("wfe", "why", "second").stdout
    until_ = re.search(r"which rests until (\S+) \(in \w+\) after default/first\.", told)
    assert until_ is not None, told
    assert until_[1][:17] != ended[:17] or until_[1][17:] == ended[17:]
    assert until_[1] > ended

    planned = json.loads(run("wfe", "plan", "-f", "-", "-o", "json", text=manifest("third", TARGET)).stdout)[0]
    assert "RecentlyRemediated" in planned["sentence"]
    assert next(check for check in planned["checks"] if check["name"] == "Target")["detail"].startswith("rests until")

    until(lambda: not status(run, "first").get("audit"), 90, "the audit of the first is stored")
    events = json.loads(run("wfe", "audit", "first", "-o", "json").stdout)
    assert [event["event_type"] for event in events] == ["workflow.started", "workflow.completed"]
    table = run("wfe", "audit", "--correlation-id", "remediation-first").stdout.splitlines()
    assert [line.split()[2] for line in table[1:]] == ["workflow.started", "workflow.completed"]
    assert "it completed after" in run("wfe", "why", "first").stdout


def test_an_invalid_spec_is_named(run: Run) -> None:
    create(run, "invalid", "//")
    wait_for(run, "invalid", "phase", "Failed")
    assert "its spec is invalid: spec.targetResource" in run("wfe", "why", "invalid").stdout


def test_a_refused_run_backs_off_with_the_servers_message(run: Run) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}}
    spec = {"hard": {"count/pipelineruns.tekton.dev": "0"}}
    applied = run(
        "kubectl", "apply", "-n", "kubernaut-workflows", "-f", "-", text=yaml.safe_dump({**quota, "spec": spec})
    )
    assert applied.returncode == 0, applied.stderr
    patch = json.dumps({"status": {"hard": spec["hard"], "used": {"count/pipelineruns.tekton.dev": "0"}}})
    words = ("kubectl", "patch", "quota", "none", "-n", "kubernaut-workflows", "--subresource=status", "--type=merge")
    assert run(*words, "-p", patch).returncode == 0
    try:
        until(lambda: "exceeded quota" in probe(run), 60, "the quota counts")
        create(run, "refused", "shop/deployment/refused")
        wait_for(run, "refused", "reason", "BackingOff")
        told = run("wfe", "why", "refused").stdout
        assert "attempt 1: the API server refused its run (QuotaExceeded" in told
        assert "exceeded quota: none" in told
        assert re.search(r"the next attempt is at \S+ \(in \w+\)", told)
    finally:
        run("kubectl", "delete", "quota", "none", "-n", "kubernaut-workflows")
        until(lambda: "exceeded quota" not in probe(run), 60, "the quota counts no more")


def probe(run: Run) -> str:
    """Ask with a dry run for a PipelineRun; return the refusal: the API server hears of a quota a moment later."""
    document = {"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": {"name": "probe"}, "spec": {}}
    words = ("kubectl", "create", "--dry-run=server", "-n", "kubernaut-workflows", "-f", "-")
    return run(*words, text=yaml.safe_dump(document)).stderr


def test_no_worker_is_told(run: Run, stack: Stack) -> None:
    stack.stop("worker-1")
    try:
        create(run, "unheeded", "shop/deployment/unheeded")
        said = until(
            lambda: (told := run("wfe", "why", "unheeded").stdout) and "no worker is running" in told and told,
            90,
            "it is told that no worker is running",
        )
        assert "it has waited" in str(said)
        assert run("wfe", "status").returncode == 1
    finally:
        stack.start("worker-1")
    wait_for(run, "unheeded", "phase", "Running")


def test_redis_down_is_told(run: Run, stack: Stack) -> None:
    create(run, "stranded", "shop/deployment/stranded")
    wait_for(run, "stranded", "phase", "Running")
    stack.stop("redis")
    try:
        assert "is Running: Redis does not answer" in run("wfe", "why", "stranded").stdout
        done = run("wfe", "status")
        assert done.returncode == 1
        assert re.search(r"^Redis +NOT WELL +Redis: ConnectionError", done.stdout, re.MULTILINE)
        assert re.search(r"^DataStorage +ok", done.stdout, re.MULTILINE)
    finally:
        stack.start("redis")


def test_datastorage_away_is_told(run: Run, stack: Stack) -> None:
    stack.stop("datastorage")
    try:
        create(run, "untold", "shop/deployment/untold")
        wait_for(run, "untold", "phase", "Running")
        until(
            lambda: "of its audit events wait for DataStorage" in run("wfe", "why", "untold").stdout,
            90,
            "the backlog is told",
        )
    finally:
        stack.start("datastorage")
    until(lambda: "workflow.started" in run("wfe", "audit", "untold").stdout, 90, "the backlog is stored")
    # It is stored a moment before the executor hears so.
    until(lambda: "audit events wait" not in run("wfe", "why", "untold").stdout, 60, "no backlog is told")
    assert [name for name in STORAGE if not stack.pids[name]] == []
