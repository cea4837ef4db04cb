"""`wfe locks`: which targets are held, by whom, since when, why, and how many wait."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import click
import yaml

from cli.access import Access, open_access
from cli.holding import Use, use_of
from cli.options import Chosen, Output, common
from cli.table import short_age, table
from models.execution import Execution, read_execution
from models.hold import Held
from models.instants import format_instant
from models.target import run_name
from tasks.redis_scripts.glance import glance


@dataclass(frozen=True, slots=True)
class Lock:
    """One held target, and what its holder does with it."""

    held: Held
    use: Use


@click.command()
@common(Output.JSON, Output.YAML, Output.WIDE)
def locks(chosen: Chosen) -> None:
    """Show which targets are held: by whom, why, how many wait.

    With -n only those that an execution of that namespace holds.
    """
    access = open_access(chosen)
    found = list(find_locks(access))
    if chosen.namespace and not chosen.everywhere:
        found = [lock for lock in found if lock.held.key.namespace == chosen.namespace]
    match chosen.output:
        case Output.JSON:
            click.echo(json.dumps([_document(lock) for lock in found], indent=1))
        case Output.YAML:
            click.echo(yaml.safe_dump([_document(lock) for lock in found], sort_keys=False).rstrip("\n"))
        case _ if found:
            click.echo(locks_table(found, access.queue.now(), wide=chosen.output is Output.WIDE))
        case _:
            click.echo("No target is held.", err=True)


def find_locks(access: Access) -> Iterator[Lock]:
    """Yield every held target by name. Raises ExecutorError."""
    executions = {str(each.key): each for each in map(read_execution, access.everywhere().documents())}
    for held in sorted(access.holds.all(), key=lambda held: held.target):
        yield Lock(held, _use(access, held, executions))


def _use(access: Access, held: Held, executions: Mapping[str, Execution]) -> Use:
    holder = executions.get(str(held.key))
    own = holder if holder is not None and holder.uid == held.uid else None
    seen = glance(access.redis, access.settings.redis.prefix, held.key)
    return use_of(own, seen.due, seen.now, access.policy)


def locks_table(found: Iterable[Lock], now: datetime, *, wide: bool) -> str:
    """Return the locks as a table."""
    headers = ["TARGET", "HOLDER", "FENCE", "SINCE", "WAITING", *(["RUN"] if wide else []), "STATE"]
    rows = [
        (
            lock.held.target,
            str(lock.held.key),
            str(lock.held.fence),
            short_age((now - lock.held.since).total_seconds()),
            str(lock.held.waiting),
            *([run_name(lock.held.target)] if wide else []),
            lock.use.words,
        )
        for lock in found
    ]
    return table(headers, rows)


def _document(lock: Lock) -> dict[str, Any]:
    held, use = lock.held, lock.use
    return {
        "target": held.target,
        "holder": str(held.key),
        "uid": held.uid,
        "fence": held.fence,
        "since": format_instant(held.since),
        "waiting": held.waiting,
        "run": run_name(held.target),
        "doing": use.doing.value,
        "until": format_instant(use.until) if use.until else None,
        "state": use.words,
    }
