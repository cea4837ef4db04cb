"""`wfe audit`: the story of an execution, or of a whole remediation, as DataStorage tells it, oldest first."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import click
import yaml

from cli.access import Access, open_access
from cli.errors import UsageError
from cli.legal_hold import hold
from cli.options import Chosen, Output, common
from cli.proof import checkpoint, export, verify
from cli.quarantine import quarantine
from cli.table import table_in_parts
from models.audit import event_id
from models.instants import format_instant, read_instant
from models.status import FactType

PAGE = 1000
_STORY = "story"
_DETAILS = ("skip_reason", "skip_message", "failure_reason", "failed_task_name", "failure_message")


class _Audit(click.Group):
    """Takes `wfe audit NAME` for the story of an execution; one called like a command is meant by wfe/NAME."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = [_STORY, *args]
        return super().parse_args(ctx, args)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, "NAME [--all] | --correlation-id ID  [-o json|yaml]  [-n NAME]")
        formatter.write_usage(ctx.command_path, "COMMAND [ARGS]...")


@click.group(cls=_Audit)
def audit() -> None:
    """Tell from DataStorage what happened, oldest first.

    NAME is an execution; a remediation is told by its correlation id, also when its executions are long gone.
    """


for command in (quarantine, verify, export, checkpoint, hold):
    audit.add_command(command)


@audit.command(_STORY, hidden=True)
@click.argument("name", required=False)
@click.option("--correlation-id", metavar="ID", help="Everything of this remediation, also of executions long gone.")
@click.option("--all", "also_earlier", is_flag=True, help="Of earlier executions of that name, too.")
@common(Output.JSON, Output.YAML)
def story(name: str | None, correlation_id: str | None, also_earlier: bool, chosen: Chosen) -> None:
    """Tell from DataStorage what happened, oldest first."""
    if not name and not correlation_id:
        raise UsageError("name an execution, or a remediation with --correlation-id")
    access = open_access(chosen)
    events = stored(access, correlation_id or access.execution(access.key(name or "")).correlation_id)
    if name:
        events = of_execution(events, access.key(name).namespace, access.key(name).name)
        living = None if also_earlier else access.find(access.key(name))
        if living is not None:
            events = of_living(events, living.uid)
    parts = {Output.JSON: in_json, Output.YAML: in_yaml}.get(chosen.output, told)(events)
    some = False
    for part in parts:
        click.echo(part)
        some = True
    if not some:
        click.echo("No audit events found.", err=True)


def stored(access: Access, correlation_id: str) -> Iterator[dict[str, Any]]:
    """Yield the stored events of a remediation, oldest first, as DataStorage gives them. Raises ExecutorError."""
    parameters: dict[str, Any] = {"correlation_id": correlation_id, "limit": PAGE, "order": "oldest"}
    while True:
        page = access.audit.query(parameters)
        yield from page["data"]
        if page["next_cursor"] is None:
            return
        parameters["cursor"] = page["next_cursor"]


def in_json(events: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines of a JSON array."""
    held = "["
    for event in events:
        yield held if held == "[" else f"{held},"
        held = " " + json.dumps(event, indent=1, ensure_ascii=False).replace("\n", "\n ")
    yield from ("[]",) if held == "[" else (held, "]")


def in_yaml(events: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the items of a YAML list."""
    some = False
    for event in events:
        some = True
        yield yaml.safe_dump([event], sort_keys=False, allow_unicode=True).rstrip("\n")
    if not some:
        yield "[]"


def of_execution(events: Iterable[dict[str, Any]], namespace: str, name: str) -> Iterator[dict[str, Any]]:
    """Keep the events of one execution."""
    return (event for event in events if (event.get("namespace"), event.get("resource_id")) == (namespace, name))


def of_living(events: Iterable[dict[str, Any]], uid: str) -> Iterator[dict[str, Any]]:
    """Keep the events of the execution that has the name now; say in the end how many of its predecessors are not."""
    left_out = 0
    for event in events:
        if tells_of(event, uid):
            yield event
        else:
            left_out += 1
    if left_out:
        click.echo(f"{left_out} events of earlier executions of that name are left out (--all shows them).", err=True)


def tells_of(event: Mapping[str, Any], uid: str) -> bool:
    """Say whether an event is of the execution with this uid: its id is derived from that."""
    kind, attempt = event["event_type"], (event.get("event_data") or {}).get("attempt")
    if kind not in set(FactType) or not isinstance(attempt, int):
        return False
    return bool(event["event_id"] == event_id(uid, FactType(kind), attempt))


def told(events: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the events as a table, in their order."""
    rows = (
        (
            _instant(event),
            str(event.get("resource_id") or ""),
            str(event["event_type"]),
            str((event.get("event_data") or {}).get("attempt") or ""),
            str(event["event_outcome"]),
            detail(event),
        )
        for event in events
    )
    return table_in_parts(("TIME", "EXECUTION", "EVENT", "ATTEMPT", "OUTCOME", "DETAIL"), rows)


def detail(event: Mapping[str, Any]) -> str:
    """Return what is particular about an event in a few words."""
    data = event.get("event_data") or {}
    match event["event_type"]:
        case "workflow.started":
            return f"run {data.get('pipelinerun_name', '')} on {data.get('target_resource', '')}"
        case "workflow.completed":
            return f"after {data.get('duration', '')}"
        case "workflow.queued":
            return f"target {data.get('target_resource', '')} is taken"
        case _:
            return ": ".join(str(data[key]) for key in _DETAILS if data.get(key))


def _instant(event: Mapping[str, Any]) -> str:
    at = read_instant(event["event_timestamp"])
    return format_instant(at) if at else str(event["event_timestamp"])
