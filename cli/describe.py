"""`wfe describe`: everything about one execution, for reading. Pure, but for the command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import click

from cli.access import Access, open_access
from cli.asks import standing
from cli.explain import explain
from cli.explanation import Explanation
from cli.options import Chosen, common
from cli.plain import one_line, plain
from cli.table import short_age, table
from cli.world import look_around
from models.execution import Execution
from models.instants import format_instant, read_instant
from models.status import Status
from tasks import clock
from tasks.adapters import paths

_WIDTH = 16


@click.command()
@click.argument("name")
@common()
def describe(name: str, chosen: Chosen) -> None:
    """Tell everything about an execution.

    Why it is where it is, what happened so far, conditions, failure, Kubernetes Events.
    """
    access = open_access(chosen)
    execution = access.execution(access.key(name))
    told = explain(execution, look_around(access, execution))
    click.echo(rendered(execution, told, _kubernetes_events(access, execution), clock.now()))


@click.command()
@click.argument("name")
@common()
def why(name: str, chosen: Chosen) -> None:
    """Say why it is where it is, and the next step."""
    access = open_access(chosen)
    execution = access.execution(access.key(name))
    told = explain(execution, look_around(access, execution))
    click.echo(one_line(f"{execution.key} is {execution.status.phase.value}: {told.sentence}."))
    if told.next_step:
        click.echo(one_line(f"Next: {told.next_step}"))


def rendered(execution: Execution, told: Explanation, events: Iterable[Mapping[str, Any]], now: datetime) -> str:
    """Return the whole description."""
    sections = [
        _fields(_identity(execution)),
        _fields([("Why", f"{told.sentence}."), *([("Next Step", told.next_step)] if told.next_step else [])]),
        _fields(_progress(execution.status)),
        *_failure(execution.status),
        *_people(execution),
        *_block("Conditions", _conditions(execution.status, now)),
        *_block(
            "Parameters", "\n".join(plain(f"{key}={value}") for key, value in sorted(execution.spec.parameters.items()))
        ),
        *_block("Events", events_table(events, now) or "<none>"),
    ]
    return "\n".join(section for section in sections if section)


def events_table(events: Iterable[Mapping[str, Any]], now: datetime) -> str:
    """Return Kubernetes Events as `kubectl describe` lists them, oldest first; empty when there are none."""
    ordered = sorted(events, key=_order)
    rows = []
    for event in ordered:
        at = read_instant(event.get("lastTimestamp"))
        age = short_age((now - at).total_seconds()) if at else "<unknown>"
        source = (event.get("source") or {}).get("component") or ""
        rows.append((event.get("type") or "", event.get("reason") or "", age, source, event.get("message") or ""))
    return table(("Type", "Reason", "Age", "From", "Message"), rows) if rows else ""


def _order(event: Mapping[str, Any]) -> tuple[str, int]:
    """Order by second, then by the API server's own order of writing."""
    version = str((event.get("metadata") or {}).get("resourceVersion") or "")
    return str(event.get("lastTimestamp") or ""), int(version) if version.isdigit() else 0


def _identity(execution: Execution) -> list[tuple[str, str]]:
    spec = execution.spec
    image = f"{spec.image}@{spec.digest}" if spec.digest else spec.image
    return [
        ("Name", execution.key.name),
        ("Namespace", execution.key.namespace),
        ("UID", execution.uid),
        ("Created", format_instant(execution.created_at)),
        *([("Deleted", format_instant(execution.deleted_at))] if execution.deleted_at else []),
        ("Target", spec.target),
        ("Workflow", f"{spec.workflow_id} {spec.workflow_version} ({spec.engine.value})"),
        ("Image", image),
        ("Correlation ID", execution.correlation_id),
    ]


def _progress(status: Status) -> list[tuple[str, str]]:
    run = status.run_status
    told = {
        "Phase": status.phase.value,
        "Reason": status.reason,
        "Attempt": str(status.attempt) if status.attempt else "",
        "Started": format_instant(status.started_at) if status.started_at else "",
        "Completed": format_instant(status.completed_at) if status.completed_at else "",
        "Duration": status.duration,
        "Failures": str(status.failures) if status.failures else "",
        "Next Attempt": format_instant(status.next_allowed) if status.next_allowed else "",
        "Run": status.run_name,
        "Run Status": f"{run.reason} {run.message}".strip() if run else "",
        "Queue": f"position {status.queue.position}, held by {status.queue.holder}"
        if status.queue and status.queue.position
        else "",
        "Audit Pending": ", ".join(f"{fact.type.value}/{fact.attempt}" for fact in status.pending_facts),
    }
    return [(name, text) for name, text in told.items() if text]


def _failure(status: Status) -> list[str]:
    failure = status.failure
    if failure is None:
        return []
    told = {
        "Reason": failure.reason.value,
        "Task": failure.task_name,
        "Step": failure.step_name,
        "Exit Code": "" if failure.exit_code is None else str(failure.exit_code),
        "Message": failure.message,
        "Summary": failure.summary,
        "Task Started": "yes" if failure.started else "no",
    }
    return _block("Failure", _fields([(name, text) for name, text in told.items() if text]))


def _people(execution: Execution) -> list[str]:
    """Return what was skipped for whom, and what people asked of the execution."""
    status, skip, clearance = execution.status, execution.status.skip, execution.status.clearance
    blocks: list[str] = []
    if skip is not None:
        told = {
            "Reason": skip.reason.value,
            "Message": skip.message,
            "At": format_instant(skip.skipped_at),
            "Holder": f"{skip.holder} ({skip.workflow_id})" if skip.holder else "",
            "Cooldown Left": skip.cooldown_remaining,
        }
        blocks += _block("Skipped", _fields([(name, text) for name, text in told.items() if text]))
    if clearance is not None:
        at = format_instant(clearance.at) if clearance.at else ""
        blocks += _asked("Block Cleared", at, clearance.by, f"{clearance.reason} ({clearance.method.value})")
    for title, request in (("Cancelled", status.cancellation), ("Unlocked", status.unlock)):
        if request is not None:
            blocks += _asked(title, format_instant(request.at), request.by, request.reason)
    for ask in standing(execution):
        blocks += _asked("Asked", "", ask.by, f"{ask.annotation}: {ask.reason} (not taken up yet)")
    return blocks


def _asked(title: str, at: str, by: str, reason: str) -> list[str]:
    return _block(title, _fields([*([("At", at)] if at else []), ("By", by), ("Reason", reason)]))


def _conditions(status: Status, now: datetime) -> str:
    rows = [
        (
            condition.type,
            "Unknown" if condition.status is None else str(condition.status),
            condition.reason,
            short_age((now - condition.since).total_seconds()),
            condition.message,
        )
        for condition in status.conditions
    ]
    return table(("Type", "Status", "Reason", "Age", "Message"), rows) if rows else ""


def _fields(pairs: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"{f'{name}:':<{_WIDTH}}{_indented(plain(text))}" for name, text in pairs)


def _indented(text: str) -> str:
    return text.replace("\n", "\n" + " " * _WIDTH)


def _block(title: str, body: str) -> list[str]:
    return [f"{title}:\n" + "\n".join(f"  {line}" for line in body.splitlines())] if body else []


def _kubernetes_events(access: Access, execution: Execution) -> list[dict[str, Any]]:
    selector = f"involvedObject.uid={execution.uid}"
    return list(access.cluster.list(paths.kubernetes_events(execution.key.namespace), field_selector=selector))
