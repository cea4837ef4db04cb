"""`wfe freeze` and `wfe unfreeze`: let nothing new start anywhere, and go on. Signed with the caller's own name."""

from __future__ import annotations

from typing import Final

import click

from cli.access import Access, open_access
from cli.asks import checked_reason
from cli.errors import CommandError
from cli.identity import caller
from cli.options import Chosen, common
from cli.plain import one_line
from cli.table import short_age
from models.freeze import FREEZE_NAME, Freeze, freeze_document, read_freeze, unfreeze_patch
from models.instants import format_instant
from tasks import clock
from tasks.adapters import paths
from tasks.adapters.cluster import Document
from tasks.adapters.cluster_errors import AlreadyExists, Vanished
from watcher.leader import LEASE_NAME

DEFAULT_HOME: Final = "kubernaut-system"
"""The controller's namespace where no Lease tells of another."""

_home = click.option(
    "--controller-namespace",
    "home",
    metavar="NAME",
    default="",
    help="Where the executor lives.  [default: where its Lease is]",
)


@click.command()
@click.option("--reason", required=True, metavar="TEXT", help="Why; everybody who waits reads it.")
@_home
@common()
def freeze(reason: str, home: str, chosen: Chosen) -> None:
    """Let nothing new start, anywhere, until `wfe unfreeze`.

    What runs goes on, what waits keeps its place. In force on all workers within five seconds.
    """
    why, access = checked_reason(reason), open_access(chosen)
    namespace, user = home or home_of(access), caller(access)
    try:
        access.cluster.create(paths.config_maps(namespace), freeze_document(why, user, namespace))
    except AlreadyExists:
        raise CommandError(_taken(_object(access, namespace))) from None
    click.echo(f"frozen by {user}: {why}; nothing new starts from here on (`wfe unfreeze` ends it)")


@click.command()
@_home
@common()
def unfreeze(home: str, chosen: Chosen) -> None:
    """Let executions start again."""
    access = open_access(chosen)
    namespace = home or home_of(access)
    document = _object(access, namespace)
    frozen = read_freeze(document)
    if document is None or frozen is None:
        raise CommandError(f"nothing is frozen (there is no ConfigMap {namespace}/{FREEZE_NAME} in force)")
    user, path = caller(access), paths.config_map(namespace, FREEZE_NAME)
    signed = unfreeze_patch(user)
    try:
        access.cluster.merge_patch(path, {"metadata": {**signed["metadata"], "uid": frozen.uid}})
    except Vanished:
        raise CommandError("somebody else has unfrozen it meanwhile") from None
    access.cluster.delete(path, uid=frozen.uid)
    click.echo(one_line(f"unfrozen by {user}; it was frozen {freeze_words(frozen)}"))


def home_of(access: Access) -> str:
    """Return the controller's namespace: where its Lease is. Raises CommandError when there are several."""
    leases = access.cluster.list(paths.leases(""), field_selector=f"metadata.name={LEASE_NAME}")
    found = sorted({lease["metadata"]["namespace"] for lease in leases})
    if len(found) > 1:
        raise CommandError(f"several executors have a Lease ({', '.join(found)}): say --controller-namespace")
    return found[0] if found else DEFAULT_HOME


def frozen_now(access: Access) -> Freeze | None:
    """Return the freeze in force, None when there is none."""
    return read_freeze(_object(access, home_of(access)))


def _object(access: Access, namespace: str) -> Document | None:
    return access.cluster.get(paths.config_map(namespace, FREEZE_NAME))


def _taken(document: Document | None) -> str:
    frozen = read_freeze(document)
    if frozen is not None:
        return f"it is frozen already, {freeze_words(frozen)}"
    return "the last freeze is still being recorded in the audit; try again in some seconds"


def freeze_words(frozen: Freeze) -> str:
    """Say by whom, since when and why."""
    age = short_age((clock.now() - frozen.since).total_seconds())
    return f"by {frozen.by} since {format_instant(frozen.since)} ({age}): {frozen.reason}"
