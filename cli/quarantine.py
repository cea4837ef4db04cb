"""`wfe audit quarantine`: the audit events that DataStorage refused for good, why, and another try."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import click
import yaml

from cli.access import open_access
from cli.errors import CommandError, UsageError
from cli.options import Chosen, Output, common
from cli.table import table
from tasks.redis_scripts.outbox import SetAside


@click.group()
def quarantine() -> None:
    """Audit events that DataStorage refused for good."""


@quarantine.command("list")
@common(Output.JSON, Output.YAML)
def list_(chosen: Chosen) -> None:
    """Show them, each with what DataStorage said."""
    found = open_access(chosen).outbox.set_aside()
    if chosen.namespace and not chosen.everywhere:
        found = [each for each in found if each.key.namespace == chosen.namespace]
    match chosen.output:
        case Output.JSON:
            click.echo(json.dumps([_document(each) for each in found], indent=1, ensure_ascii=False))
        case Output.YAML:
            documents = [_document(each) for each in found]
            click.echo(yaml.safe_dump(documents, sort_keys=False, allow_unicode=True).rstrip("\n"))
        case _ if found:
            click.echo(quarantine_table(found))
        case _:
            click.echo("No audit event is in quarantine.", err=True)


@quarantine.command()
@click.argument("event_ids", nargs=-1, metavar="[EVENT_ID]...")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@common()
def retry(event_ids: tuple[str, ...], everything: bool, chosen: Chosen) -> None:
    """Send events again, after what was wrong has been put right.

    DataStorage stores an event once, however often it is sent.
    """
    if bool(event_ids) == everything:
        raise UsageError("name the event ids (`wfe audit quarantine list` shows them), or say --all")
    outbox = open_access(chosen).outbox
    wanted = [each.event_id for each in outbox.set_aside()] if everything else list(dict.fromkeys(event_ids))
    back = outbox.requeue(wanted)
    missing = [event_id for event_id in wanted if event_id not in back]
    for event_id in back:
        click.echo(f"{event_id}: back in the outbox, sent within seconds")
    if missing:
        raise CommandError(f"not in quarantine: {', '.join(missing)}")
    if not back:
        click.echo("No audit event is in quarantine.", err=True)


def quarantine_table(found: Iterable[SetAside]) -> str:
    """Return the events as a table."""
    rows = [(each.event_id, str(each.key), _body(each).get("event_type") or "", each.problem) for each in found]
    return table(("EVENT ID", "EXECUTION", "EVENT", "PROBLEM"), rows)


def _document(each: SetAside) -> dict[str, Any]:
    return {
        "event_id": each.event_id,
        "execution": str(each.key),
        "event_type": _body(each).get("event_type"),
        "problem": each.problem,
        "problem_document": each.document,
        "event": _body(each) or each.body,
    }


def _body(each: SetAside) -> dict[str, Any]:
    """Return the event itself; empty when it is no JSON object, which may be why it was refused."""
    try:
        body = json.loads(each.body)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
