"""J10, J11 and J14: cancel, freeze, why is it not running, and what would happen."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
import yaml

from cli.local import Stack
from cli.local.ground import EXECUTOR, EXECUTOR_GROUPS
from models.freeze import FREEZE_NAME
from models.keys import Key
from tasks.redis_scripts.outbox import Item, Outbox
from tests.terminal import RUNS, Terminal
from tests.waiting import until

pytestmark = pytest.mark.timeout(300)
TARGET = "shop/deployment/cart"


@pytest.fixture(autouse=True)
def thaw(terminal: Terminal) -> Iterator[None]:
    yield
    words = ("-n", "kubernaut-system", "cm", FREEZE_NAME)
    terminal.kubectl("delete", *words[:2], *words[2:], "--ignore-not-found", "--timeout=60s")


def test_cancel_ends_a_run_gently_and_who_waits_at_once(terminal: Terminal) -> None:
    me = terminal.whoami()
    terminal.declare("runs", TARGET, "outcome-hang")
    terminal.reaches("runs", "Running")
    terminal.declare("waits", TARGET)
    terminal.shows("waits", "reason", "TargetResourceBusy")
    assert f"asked by {me}: no longer wanted" in terminal.wfe("cancel", "waits", "--reason", "no longer wanted")
    waited = terminal.reaches("waits", "Failed")
    assert f"cancelled by {me}: no longer wanted" in waited["failureDetails"]["message"]
    assert "completionTime" in waited

    terminal.wfe("cancel", "runs", "--reason", "wrong target")
    ended = terminal.reaches("runs", "Failed")
    assert (ended["cancellation"]["by"], ended["cancellation"]["reason"]) == (me, "wrong target")
    assert f"cancelled by {me}: wrong target" in ended["failureDetails"]["message"]
    assert f"it was cancelled by {me}: wrong target" in terminal.wfe("why", "runs")
    assert "Cancelled:" in terminal.wfe("describe", "runs")
    assert terminal.events("runs").count("Cancelled") == 1
    assert terminal.told("runs") == ["started", "cancelled", "failed"]
    assert sorted(terminal.told("waits")) == ["cancelled", "failed", "queued"]
    story = {event["event_type"]: event for event in terminal.story("runs")}
    assert (story["workflow.cancelled"]["actor_type"], story["workflow.cancelled"]["actor_id"]) == ("user", me)
    assert "asked to cancel already" in terminal.wfe("cancel", "runs", "--reason", "again")
    assert "has ended (Completed)" in cancel_of_an_ended_one(terminal)


def cancel_of_an_ended_one(terminal: Terminal) -> str:
    terminal.declare("done", "shop/deployment/other")
    terminal.reaches("done", "Completed")
    return terminal.refused("cancel", "done", "--reason", "late")


def test_a_freeze_lets_nothing_start_and_an_unfreeze_goes_on(terminal: Terminal) -> None:
    me = terminal.whoami()
    terminal.declare("goes-on", TARGET, "outcome-hang")
    terminal.reaches("goes-on", "Running")
    terminal.wfe("freeze", "--reason", "database migration")
    assert f"it is frozen already, by {me} since" in terminal.refused("freeze", "--reason", "again")
    time.sleep(5)  # what the contract promises: in force within this on all workers
    terminal.declare("frozen", "shop/deployment/frozen")
    frozen = terminal.shows("frozen", "reason", "Frozen")
    assert frozen["phase"] == "Pending"
    told = terminal.wfe("why", "frozen")
    assert f"everything is frozen by {me} since" in told
    assert "database migration" in told
    assert "`wfe unfreeze` lets it start" in told
    shown = {each["part"]: each["detail"] for each in terminal.read("status")}
    assert shown["Freeze"].startswith(f"FROZEN by {me} since ")
    assert shown["Freeze"].endswith("database migration")
    assert "1 Pending (1 Frozen)" in shown["Executions"]
    assert json.loads(plan(terminal, "planned", "shop/deployment/third"))[0]["outcome"] == "Waits"
    terminal.succeed("goes-on")
    terminal.reaches("goes-on", "Completed")
    assert terminal.runs_of("frozen") == []
    terminal.wfe("unfreeze")
    terminal.reaches("frozen", "Completed")
    assert "nothing is frozen" in terminal.refused("unfreeze")


def test_what_was_frozen_is_audited_under_who_asked(terminal: Terminal, stack: Stack) -> None:
    terminal.wfe("freeze", "--reason", "audit me")
    terminal.wfe("unfreeze")
    words = ("get", "cm", FREEZE_NAME, "-n", "kubernaut-system", "--ignore-not-found")
    until(lambda: terminal.kubectl(*words) == "", 60, "the freeze is gone", every=0.5)
    events = f"{stack.datastorage_url}/api/v1/audit/events"
    page = httpx.get(events, params={"event_category": "workflow"}, headers=stack.reader).json()
    told = {
        event["event_type"]: (event["actor_type"], event["actor_id"])
        for event in page["data"]
        if event["resource_id"] == FREEZE_NAME
    }
    me = ("user", terminal.whoami())
    assert told == {"workflow.frozen": me, "workflow.unfrozen": me}


def plan(terminal: Terminal, name: str, target: str, **spec: Any) -> str:
    manifest = terminal.manifest(name, target, **spec)
    return terminal.wfe("plan", "-f", "-", "-o", "json", stdin=json.dumps(manifest), check=False)


def test_plan_says_what_would_happen_and_changes_nothing(terminal: Terminal, stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(yaml.safe_dump(terminal.manifest("planned", TARGET)), encoding="utf-8")
    terminal.declare("holder", TARGET, "outcome-hang")
    free = terminal.manifest("free", "shop/deployment/free")
    terminal.reaches("holder", "Running")
    terminal.shows("holder", "attempt", 1)
    until(lambda: _runs_on(terminal), 60, "Tekton has said of the run all that there is to say")
    before = everything(terminal, stack)
    held = terminal.wfe("plan", "-f", str(file))
    assert "default/planned: it waits (TargetResourceBusy): position 1, held by default/holder since" in held
    assert "Nothing was changed." in held
    starts = json.loads(terminal.wfe("plan", "-f", "-", "-o", "json", stdin=json.dumps(free)))[0]
    assert starts["outcome"] == "Starts"
    assert {check["state"] for check in starts["checks"]} == {"ok"}, starts
    skipped = json.loads(plan(terminal, "skip", TARGET, executionConfig={"concurrencyPolicy": "Skip"}))[0]
    assert (skipped["outcome"], skipped["run"]) == ("Skipped", terminal.status("holder")["pipelineRunRef"]["name"])
    wrong = json.loads(plan(terminal, "wrong", "no-target"))[0]
    assert wrong["outcome"] == "Fails"
    assert "ConfigurationError" in wrong["sentence"]
    refused = json.loads(plan(terminal, "Upper_Case", "shop/deployment/x"))[0]
    assert refused["outcome"] == "Refused"
    exists = json.loads(plan(terminal, "holder", "shop/deployment/x"))[0]
    assert exists["outcome"] == "Exists"
    after = everything(terminal, stack)
    assert after == before


def _runs_on(terminal: Terminal) -> bool:
    words = ("get", "taskrun", "-n", RUNS, "-o", "jsonpath={.items[*].status.steps[*].running.startedAt}")
    (run,) = terminal.runs_of("holder")
    said = [condition["reason"] for condition in (run.get("status") or {}).get("conditions", ())]
    return said == ["Running"] and terminal.kubectl(*words) != ""


def everything(terminal: Terminal, stack: Stack) -> tuple[str, list[str]]:
    """Return what could have been changed: the objects with their versions, and what Redis knows of targets."""
    listed = "custom-columns=K:.kind,N:.metadata.name,V:.metadata.resourceVersion"
    objects = terminal.kubectl("get", "wfe,pipelinerun,job,configmap,sa", "-A", "-o", listed)
    client = redis.Redis.from_url(stack.redis_url)
    try:
        keys: Any = [*client.keys("*hold*"), *client.keys("*line*")]
        return objects, sorted(key.decode() for key in keys)
    finally:
        client.close()


def test_why_names_the_wrong_field(terminal: Terminal) -> None:
    terminal.declare("invalid", "nonsense")
    terminal.reaches("invalid", "Failed")
    told = terminal.wfe("why", "invalid")
    assert "its spec is invalid: spec.targetResource" in told
    assert "Next: `kubectl delete wfe invalid -n default`, correct it and apply it again" in told


def test_why_names_an_image_that_cannot_be_pulled(terminal: Terminal) -> None:
    terminal.declare("unpulled", TARGET, "outcome-image-pull")
    terminal.shows("unpulled", "reason", "BackingOff")
    # Between two attempts, that is: the next one begins after some seconds.
    until(lambda: "an image of the pipeline cannot be pulled" in terminal.wfe("why", "unpulled"), 60, "why says it")


def test_why_names_a_right_that_is_missing(terminal: Terminal) -> None:
    role = ("role", "kubernaut-executor-runs", "-n", RUNS)
    before = json.loads(terminal.kubectl("get", *role, "-o", "json"))["rules"]
    without = [{**rule, "verbs": [verb for verb in rule["verbs"] if verb != "create"]} for rule in before]
    terminal.kubectl("patch", *role, "--type=merge", "-p", json.dumps({"rules": without}))
    try:
        await_right(terminal, "no")
        terminal.declare("forbidden", TARGET)
        terminal.shows("forbidden", "reason", "BackingOff")
        told = until(
            lambda: _why(terminal, "forbidden", "the API server refused its run (RBACDenied"), 60, "why says it"
        )
        assert "give the executor the right (deploy/rbac.yaml)" in told
        rights = json.loads(plan(terminal, "planned", "shop/deployment/x"))[0]["checks"]
        assert next(check["state"] for check in rights if check["name"] == "Rights") == "FAIL"
    finally:
        terminal.kubectl("patch", *role, "--type=merge", "-p", json.dumps({"rules": before}))
        await_right(terminal, "yes")


def await_right(terminal: Terminal, answer: str) -> None:
    """Wait until the API server knows whether the executor may create runs: it hears of a changed role later."""
    words = ("auth", "can-i", "create", "pipelineruns.tekton.dev", "-n", RUNS, "--as", EXECUTOR)
    groups = [word for group in EXECUTOR_GROUPS for word in ("--as-group", group)]
    until(lambda: terminal.kubectl(*words, *groups, check=False).strip() == answer, 60, f"its right: {answer}")


def _why(terminal: Terminal, name: str, words: str) -> str:
    told = terminal.wfe("why", name)
    return told if words in told else ""


def test_why_names_whose_finalizer_keeps_it(terminal: Terminal) -> None:
    terminal.declare("held", TARGET, "outcome-hang")
    terminal.reaches("held", "Running")
    terminal.kubectl("patch", "wfe", "held", "--type=json", "-p", _KEEP)
    terminal.kubectl("delete", "wfe", "held", "--wait=false")
    until(lambda: "we are done with it" in terminal.wfe("why", "held"), 90, "only the other's finalizer keeps it")
    assert "ask whoever owns the finalizer example.com/keep" in terminal.wfe("why", "held")
    terminal.kubectl("patch", "wfe", "held", "--type=merge", "-p", '{"metadata": {"finalizers": null}}')


_KEEP = '[{"op": "add", "path": "/metadata/finalizers/-", "value": "example.com/keep"}]'


def test_one_person_does_not_sign_for_another(terminal: Terminal) -> None:
    terminal.declare("one", TARGET, "outcome-hang")
    terminal.reaches("one", "Running")
    refused = terminal.kubectl("annotate", "wfe", "one", "kubernaut.ai/cancel=x", check=False)
    assert "asking needs your signature" in refused
    other = ("--as", "alice", "--as-group", "system:masters", "annotate", "wfe", "one")
    terminal.kubectl(*other, "kubernaut.ai/unlock=later", "kubernaut.ai/requested-by=alice")
    said = terminal.refused("cancel", "one", "--reason", "mine")
    assert "alice has asked to unlock its target (later) and the executor has not answered yet" in said
    words = said.partition("`kubectl ")[2].partition("`")[0].split()
    terminal.kubectl(*words)
    terminal.wfe("cancel", "one", "--reason", "mine")
    assert terminal.reaches("one", "Failed")["cancellation"]["by"] == terminal.whoami()


def test_settings_are_shown_with_where_they_come_from(terminal: Terminal) -> None:
    rows = {row["key"]: row for row in terminal.read("config", "show")}
    cooldown = rows["execution.cooldown_period"]
    assert (cooldown["value"], cooldown["origin"]) == ("20s", "file")
    assert (rows["execution.namespace"]["origin"], rows["redis.password"]["value"]) == ("default", "")
    assert "execution.cooldown_period" in terminal.wfe("config", "show")


def test_an_audit_event_in_quarantine_is_shown_and_sent_again(terminal: Terminal, stack: Stack) -> None:
    terminal.declare("told", TARGET)
    terminal.reaches("told", "Completed")
    event = terminal.story("told")[0]
    known = ("event_data", "event_timestamp", "version", "event_type", "event_category", "event_action")
    more = ("event_outcome", "actor_type", "actor_id", "resource_type", "resource_id", "namespace", "correlation_id")
    body = {name: event[name] for name in (*known, *more)} | {"event_id": str(uuid.UUID(int=7))}
    client = redis.Redis.from_url(stack.redis_url)
    outbox = Outbox(client, "wfe")
    item = Item(body["event_id"], Key("default", "told"), "uid", json.dumps(body).encode())
    outbox.quarantine(item, "400 validation-error: too long")
    try:
        shown = terminal.wfe("audit", "quarantine", "list")
        assert body["event_id"] in shown
        assert "400 validation-error: too long" in shown
        status = terminal.wfe("status", check=False)
        assert re.search(r"Outbox +NOT WELL .*1 in quarantine", status)
        assert "not in quarantine: nonsense" in terminal.refused("audit", "quarantine", "retry", "nonsense")
        terminal.wfe("audit", "quarantine", "retry", "--all")

        def stored() -> bool:
            # Under an id that is not the living execution's: of an earlier one, then.
            return body["event_id"] in terminal.wfe("audit", "told", "--all", "-o", "json")

        until(stored, 60, "the event is stored", every=0.5)
        assert "No audit event is in quarantine." in terminal.wfe("audit", "quarantine", "list")
    finally:
        client.close()
