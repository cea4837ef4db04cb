"""`wfe cancel`, `wfe clear`, `wfe unlock`: ask something of an execution, signed with the caller's own name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import click

from cli.access import Access, open_access
from cli.asks import (
    already,
    arguments,
    ask_patch,
    checked_reason,
    refuse_cancel,
    refuse_clear,
    refuse_unlock,
)
from cli.errors import CommandError
from cli.identity import caller
from cli.listing import rendered
from cli.options import Chosen, Output, common
from cli.plain import one_line
from models.execution import Execution
from models.hold import Busy, Free
from models.keys import Key
from models.names import ASK_CANCEL, ASK_CLEAR, ASK_UNLOCK, GROUP, KIND
from tasks import clock
from tasks.adapters import paths

_reason = click.option("--reason", required=True, metavar="TEXT", help="Why; it goes into the audit.")
_OUTPUTS: Final = (Output.JSON, Output.YAML, Output.NAME)


@click.command()
@click.argument("name")
@_reason
@common(*_OUTPUTS)
def cancel(name: str, reason: str, chosen: Chosen) -> None:
    """Stop an execution: its run is asked to end, then it is Failed.

    In line it fails at once. A run that does not end within execution.cancel_timeout is deleted.
    """
    why, access = checked_reason(reason), open_access(chosen)
    _ask(access, access.key(name), ASK_CANCEL, why, refuse_cancel)


@click.command()
@click.argument("name")
@_reason
@common(*_OUTPUTS)
def clear(name: str, reason: str, chosen: Chosen) -> None:
    """Let a target be used again whose run failed half-way.

    NAME is the failed execution that blocks it; what waits goes on after the cooldown.
    """
    why, access = checked_reason(reason), open_access(chosen)
    _ask(access, access.key(name), ASK_CLEAR, why, lambda execution: refuse_clear(execution, access.policy))


@click.command()
@click.argument("name", metavar="TARGET|NAME")
@_reason
@common(*_OUTPUTS)
def unlock(name: str, reason: str, chosen: Chosen) -> None:
    """Force the hold on a target open: no cooldown, no block.

    NAME is an execution that has ended and holds its target, TARGET what `wfe locks` shows.
    """
    why, access = checked_reason(reason), open_access(chosen)
    key = access.key(name) if access.names_execution(name) else _holder_of(access, name)

    def refuse(execution: Execution) -> None:
        refuse_unlock(execution)
        if isinstance(access.holds.look(execution.spec.target, execution.uid), Free | Busy):
            raise CommandError(f"{execution.key} holds no target any more: there is nothing to unlock")

    _ask(access, key, ASK_UNLOCK, why, refuse)


def _holder_of(access: Access, target: str) -> Key:
    held = next((each for each in access.holds.all() if each.target == target), None)
    if held is None:
        raise CommandError(f"nobody holds the target {target} (`wfe locks` lists those that are held)")
    holder = access.find(held.key)
    if holder is None or holder.uid != held.uid:
        raise CommandError(f"{held.key}, which holds {target}, is gone; the next resync frees the target by itself")
    return held.key


def _ask(access: Access, key: Key, annotation: str, reason: str, refuse: Callable[[Execution], None]) -> None:
    execution = access.execution(key)
    said = already(execution, annotation, access.policy)
    if not said:
        refuse(execution)
        user = caller(access)
        patch = ask_patch(execution, annotation, reason, user, access.policy)
        changed = access.cluster.merge_patch(paths.execution(key), patch)
        said = f"{_WORDS[annotation]}, asked by {user}: {reason}; `wfe why {arguments(key)}` tells how it goes"
        if access.chosen.output is not Output.TABLE:
            click.echo(rendered([changed], access.chosen, clock.now(), single=True))
            return
    click.echo(one_line(f"{KIND.lower()}.{GROUP}/{key.name}: {said}"))


_WORDS: Final = {ASK_CANCEL: "being cancelled", ASK_CLEAR: "block being cleared", ASK_UNLOCK: "target being freed"}
