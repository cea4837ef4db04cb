"""What get, describe, audit, queue and status print, from documents to text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from cli.describe import events_table, rendered
from cli.explanation import Explanation
from cli.health import lease_finding
from cli.lines import Place, queue_table
from cli.listing import executions_table
from cli.listing import rendered as listed
from cli.options import Chosen, Output
from cli.story import detail, in_json, in_yaml, of_execution, of_living, told
from models.audit import event_id
from models.keys import Key
from models.status import FactType
from tests.unit.cli.objects import NOW, condition, document, execution, later

DONE = {"phase": "Completed", "duration": "1m30s", "attempt": 1}


def test_get_prints_the_columns_of_the_crd() -> None:
    assert executions_table([document(status=DONE), document("new")], NOW, wide=False, namespaces=False) == (
        "NAME      PHASE       WORKFLOWID         TARGET                   REASON   DURATION   AGE\n"
        "restart   Completed   restart-workload   default/deployment/web            1m30s      60s\n"
        "new                   restart-workload   default/deployment/web                       60s"
    )


def test_get_wide_in_all_namespaces() -> None:
    head = executions_table([document(status=DONE)], NOW, wide=True, namespaces=True).splitlines()[0]
    assert head.split() == (
        ["NAMESPACE", "NAME", "PHASE", "WORKFLOWID", "TARGET", "REASON", "DURATION", "ATTEMPT", "NEXT", "AGE"]
    )


def test_get_as_objects() -> None:
    one = document(managedFields=[{"manager": "kubectl"}])
    whole = json.loads(listed([one], Chosen(output=Output.JSON), NOW, single=True))
    assert whole["metadata"]["name"] == "restart"
    assert "managedFields" not in whole["metadata"]
    many = yaml.safe_load(listed([one, one], Chosen(output=Output.YAML), NOW, single=False))
    assert (many["kind"], len(many["items"])) == ("List", 2)
    assert listed([one], Chosen(output=Output.NAME), NOW, single=True) == "workflowexecution.kubernaut.ai/restart"


def test_describe_holds_why_conditions_failure_and_events() -> None:
    failure = {
        "reason": "TaskFailed",
        "message": "boom",
        "exitCode": 1,
        "failedAt": "2026-03-01T11:59:30Z",
        "naturalLanguageSummary": "It broke.",
        "wasExecutionFailure": True,
    }
    failed = execution(
        status={
            "phase": "Failed",
            "failureDetails": failure,
            "conditions": [condition("TektonPipelineComplete", "False", "TaskFailed", "boom")],
        }
    )
    text = rendered(failed, Explanation("it failed", "look"), [kubernetes_event("WorkflowFailed", 30)], NOW)
    assert "Why:            it failed.\nNext Step:      look\n" in text
    assert "Failure:\n  Reason:         TaskFailed\n" in text
    assert "  TektonPipelineComplete   False    TaskFailed   60s   boom" in text
    assert "  Normal   WorkflowFailed   30s" in text


def test_events_of_one_second_keep_the_order_of_writing() -> None:
    events = [kubernetes_event("Second", 30, "11"), kubernetes_event("First", 30, "9")]
    lines = events_table(events, NOW).splitlines()
    assert [line.split()[1] for line in lines[1:]] == ["First", "Second"]


def kubernetes_event(reason: str, age: int, version: str = "1") -> dict[str, Any]:
    return {
        "metadata": {"resourceVersion": version},
        "type": "Normal",
        "reason": reason,
        "message": "m",
        "source": {"component": "workflowexecution-controller"},
        "lastTimestamp": later(-age).isoformat(),
    }


def stored(kind: str, **data: Any) -> dict[str, Any]:
    return {
        "event_id": kind,
        "event_type": kind,
        "event_timestamp": "2026-03-01T11:59:00+00:00",
        "event_outcome": "success",
        "namespace": "default",
        "resource_id": "restart",
        "event_data": {"attempt": 1, **data},
    }


def test_the_story_is_a_table_in_the_order_given() -> None:
    events = [stored("workflow.started", pipelinerun_name="wfe-1"), stored("workflow.completed", duration="2s")]
    assert [line.split()[2] for line in "\n".join(told(events)).splitlines()[1:]] == [
        "workflow.started",
        "workflow.completed",
    ]
    assert "2026-03-01T11:59:00Z" in "".join(told(events))
    assert list(told([])) == []
    assert detail(events[1]) == "after 2s"
    failed = stored("workflow.failed", failure_reason="TaskFailed", failure_message="boom")
    assert detail(failed) == "TaskFailed: boom"


def test_a_story_is_told_while_it_is_read() -> None:
    """The first of it is there long before the last was asked for; in parts it is what it is as a whole."""
    events = [stored("workflow.started", pipelinerun_name="wfe-1", about='a"\n\u2028') for _ in range(1200)]

    def endless() -> Iterator[dict[str, Any]]:
        yield from events
        raise AssertionError("everything was read before anything was told")

    for form in (told, in_json, in_yaml):
        assert next(form(endless()))
    parts = list(told(events))
    assert len(parts) > 1
    assert "\n".join(parts).splitlines() == [*parts[0].splitlines()[:2], *[parts[0].splitlines()[1]] * 1199]
    for some in ([], events[:1], events[:3]):
        assert "\n".join(in_json(some)) == json.dumps(some, indent=1, ensure_ascii=False)
        assert "\n".join(in_yaml(some)) == yaml.safe_dump(some, sort_keys=False, allow_unicode=True).rstrip("\n")


def test_the_story_of_one_leaves_out_its_relatives() -> None:
    other = {**stored("workflow.started"), "resource_id": "other"}
    assert list(of_execution([stored("workflow.started"), other], "default", "restart")) == [stored("workflow.started")]


def test_the_story_is_that_of_the_living_one_and_says_what_it_leaves_out(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = [
        {**stored(kind.value, attempt=2), "event_id": event_id(uid, kind, 2)}
        for uid, kind in (("earlier", FactType.COMPLETED), ("living", FactType.STARTED))
    ]
    odd = stored("other.kind", attempt="x")
    assert list(of_living([first, second, odd], "living")) == [second]
    assert capsys.readouterr().err == ("2 events of earlier executions of that name are left out (--all shows them).\n")
    assert list(of_living([second], "living")) == [second]
    assert capsys.readouterr().err == ""


def test_queue_names_the_holder_first() -> None:
    places = [
        Place("default/deployment/web", 0, Key("default", "first"), later(-10), "Running"),
        Place("default/deployment/web", 1, Key("default", "second"), later(-5), "TargetResourceBusy"),
    ]
    assert queue_table(places, NOW) == (
        "TARGET                   POSITION   EXECUTION        SINCE   STATE\n"
        "default/deployment/web   -          default/first    10s     Running\n"
        "default/deployment/web   1          default/second   5s      TargetResourceBusy"
    )


def lease(holder: str, age: float) -> dict[str, Any]:
    spec = {"holderIdentity": holder, "renewTime": later(-age).isoformat(), "leaseDurationSeconds": 15}
    return {"metadata": {"namespace": "kubernaut-system"}, "spec": spec}


def test_a_lease_that_is_not_renewed_has_no_leader() -> None:
    assert lease_finding(lease("one", 2), NOW).well
    stale = lease_finding(lease("one", 40), NOW)
    assert not stale.well
    assert "last renewed its Lease 40s ago" in stale.detail
    assert not lease_finding(lease("", 2), NOW).well
