"""`wfe audit hold`: keep what retention would remove, with a reason and a name, until it is lifted."""

from __future__ import annotations

import json
from typing import Any

import click
import yaml

from cli.access import open_access
from cli.asks import checked_reason
from cli.errors import CommandError, UsageError
from cli.identity import caller
from cli.options import Chosen, Output, common
from cli.plain import one_line
from cli.proof import asked
from cli.table import table
from models.errors import ExecutorError

_chain = click.argument("correlation_id", required=False, metavar="[CORRELATION-ID]")
_everything = click.option("--everything", is_flag=True, help="All events, instead of one chain.")
_reason = click.option("--reason", required=True, metavar="TEXT", help="Why; it is audited.")


@click.group()
def hold() -> None:
    """Legal holds: what is on hold is not removed by retention."""


@hold.command("set")
@_chain
@_everything
@_reason
@common(Output.JSON)
def set_(correlation_id: str | None, everything: bool, reason: str, chosen: Chosen) -> None:
    """Put a remediation on hold, or everything."""
    made = _send(chosen, "holds", correlation_id, everything, reason)
    if chosen.output is Output.JSON:
        click.echo(json.dumps(made, indent=1, ensure_ascii=False))
        return
    events = "" if made["events"] is None else f" ({made['events']} events)"
    click.echo(one_line(f"{_what(made)}{events}: on hold since {made['set_at']} by {made['set_by']}: {made['reason']}"))


@hold.command()
@_chain
@_everything
@_reason
@common(Output.JSON)
def lift(correlation_id: str | None, everything: bool, reason: str, chosen: Chosen) -> None:
    """Lift a hold: retention may remove what was on it."""
    was = _send(chosen, "holds/lift", correlation_id, everything, reason)
    if chosen.output is Output.JSON:
        click.echo(json.dumps(was, indent=1, ensure_ascii=False))
        return
    click.echo(one_line(f"{_what(was)}: no longer on hold; it was since {was['set_at']} by {was['set_by']}"))


@hold.command("list")
@common(Output.JSON, Output.YAML)
def list_(chosen: Chosen) -> None:
    """Show what is on hold, by whom and why."""
    with asked(chosen, "GET", "holds") as answer:
        answer.read()
        found = answer.json()["holds"]
    match chosen.output:
        case Output.JSON:
            click.echo(json.dumps(found, indent=1, ensure_ascii=False))
        case Output.YAML:
            click.echo(yaml.safe_dump(found, sort_keys=False, allow_unicode=True).rstrip("\n"))
        case _ if found:
            rows = [
                (_what(each), each["set_at"], each["set_by"], str(each["events"] or ""), each["reason"])
                for each in found
            ]
            click.echo(table(("ON HOLD", "SINCE", "BY", "EVENTS", "REASON"), rows))
        case _:
            click.echo("Nothing is on hold.", err=True)


def _send(chosen: Chosen, route: str, correlation_id: str | None, everything: bool, reason: str) -> dict[str, Any]:
    if bool(correlation_id) == everything:
        raise UsageError("name a correlation id, or say --everything")
    body = {"correlation_id": correlation_id or None, "everything": everything, "reason": checked_reason(reason)}
    with asked(chosen, "POST", route, json={**body, "requested_by": _requester(chosen)}) as answer:
        answer.read()
        document: dict[str, Any] = answer.json()
    return document


def _requester(chosen: Chosen) -> str | None:
    """Return the caller's name; None without a cluster: then DataStorage's token alone says who it is."""
    try:
        return caller(open_access(chosen))[:200]
    except (ExecutorError, CommandError):
        return None


def _what(document: dict[str, Any]) -> str:
    return "everything" if document["everything"] else str(document["correlation_id"])
