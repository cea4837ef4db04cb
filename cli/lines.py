"""`wfe queue`: for each target who holds it and who waits, as Redis knows it now."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import click
import yaml

from cli.access import Access, open_access
from cli.holding import use_of
from cli.options import Chosen, Output, common
from cli.table import short_age, table
from models.execution import Execution, read_execution
from models.hold import Held, Owner
from models.instants import format_instant
from models.keys import Key
from tasks.redis_scripts.glance import glance


@dataclass(frozen=True, slots=True)
class Place:
    """One row: `position` 0 holds the target, 1 is next."""

    target: str
    position: int
    key: Key
    since: datetime
    doing: str


@click.command()
@common(Output.JSON, Output.YAML)
def queue(chosen: Chosen) -> None:
    """Show who holds each target and who waits.

    With -n only the targets that an execution of that namespace holds or waits for.
    """
    access = open_access(chosen)
    now = access.queue.now()
    found = list(_places(access))
    if chosen.namespace and not chosen.everywhere:
        wanted = {place.target for place in found if place.key.namespace == chosen.namespace}
        found = [place for place in found if place.target in wanted]
    match chosen.output:
        case Output.JSON:
            click.echo(json.dumps([_document(place) for place in found], indent=1))
        case Output.YAML:
            click.echo(yaml.safe_dump([_document(place) for place in found], sort_keys=False).rstrip("\n"))
        case _ if found:
            click.echo(queue_table(found, now))
        case _:
            click.echo("No target is held.", err=True)


def queue_table(places: Sequence[Place], now: datetime) -> str:
    """Return the lines as a table, each target's holder first."""
    rows = [
        (
            place.target,
            "-" if place.position == 0 else str(place.position),
            str(place.key),
            short_age((now - place.since).total_seconds()),
            place.doing,
        )
        for place in places
    ]
    return table(("TARGET", "POSITION", "EXECUTION", "SINCE", "STATE"), rows)


def _places(access: Access) -> Iterator[Place]:
    executions = {str(each.key): each for each in map(read_execution, _all_documents(access))}
    for held in sorted(access.holds.all(), key=lambda held: held.target):
        yield _holder(access, held, executions)
        for position, waiting in enumerate(access.holds.line(held.target), start=1):
            yield _waiting(held.target, position, waiting, executions)


def _holder(access: Access, held: Held, executions: Mapping[str, Execution]) -> Place:
    holder = executions.get(str(held.key))
    own = holder if holder is not None and holder.uid == held.uid else None
    seen = glance(access.redis, access.settings.redis.prefix, held.key)
    use = use_of(own, seen.due, seen.now, access.policy)
    return Place(held.target, 0, held.key, held.since, use.words)


def _waiting(target: str, position: int, owner: Owner, executions: Mapping[str, Execution]) -> Place:
    execution = executions.get(str(owner.key))
    return Place(target, position, owner.key, owner.created, execution.status.reason if execution else "gone")


def _all_documents(access: Access) -> Iterator[dict[str, Any]]:
    return access.everywhere().documents()


def _document(place: Place) -> dict[str, Any]:
    return {
        "target": place.target,
        "position": place.position,
        "execution": str(place.key),
        "since": format_instant(place.since),
        "state": place.doing,
    }
