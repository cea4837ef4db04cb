"""`wfe status`: is every part there, and what waits. Asks all parts at once; exit 1 when one is not well."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import click
import yaml

from cli.access import Access, open_access
from cli.errors import CommandError
from cli.freezing import freeze_words, frozen_now
from cli.options import Chosen, Output, common
from cli.plain import one_line
from cli.table import short_age, table
from cli.workers import listen_for_workers
from cli.world import datastorage_fault
from models.errors import ExecutorError
from models.instants import read_instant
from models.status import Phase
from tasks import clock
from tasks.adapters import paths
from tasks.redis_scripts.connection import ping
from watcher.leader import LEASE_NAME

_TROUBLED = 3
"""Failed flushes in a row that are more than a hiccup."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    part: str
    well: bool
    detail: str


@click.command()
@common(Output.JSON, Output.YAML)
def status(chosen: Chosen) -> None:
    """Show whether every part is there, and what waits."""
    found = examine(open_access(chosen))
    match chosen.output:
        case Output.JSON:
            click.echo(json.dumps([asdict(each) for each in found], indent=1))
        case Output.YAML:
            click.echo(yaml.safe_dump([asdict(each) for each in found], sort_keys=False).rstrip("\n"))
        case _:
            rows = [(each.part, "ok" if each.well else "NOT WELL", each.detail) for each in found]
            click.echo(table(("PART", "STATE", "DETAIL"), rows))
    if not all(each.well for each in found):
        raise SystemExit(1)


def examine(access: Access) -> list[Finding]:
    """Ask every part; one that does not answer is a finding."""
    questions: Sequence[Callable[[Access], Iterator[Finding]]] = (
        _api_server,
        _freeze,
        _watcher,
        _redis,
        _workers,
        _datastorage,
    )
    with ThreadPoolExecutor(len(questions)) as pool:
        return [finding for answer in pool.map(lambda ask: _asked(ask, access), questions) for finding in answer]


def _asked(ask: Callable[[Access], Iterator[Finding]], access: Access) -> list[Finding]:
    try:
        return list(ask(access))
    except (ExecutorError, CommandError) as error:
        return [Finding(_TITLES[ask], False, str(error))]


def _api_server(access: Access) -> Iterator[Finding]:
    version = (access.cluster.get("/version") or {}).get("gitVersion", "")
    yield Finding("API server", True, f"{version}, {access.kubeconfig.server}".strip(", "))
    yield executions_finding(access.everywhere().documents())


def executions_finding(documents: Iterable[dict[str, Any]]) -> Finding:
    """Count executions by phase, and those that wait by their reason."""
    statuses = [document.get("status") or {} for document in documents]
    phases = Counter(str(status.get("phase") or Phase.PENDING) for status in statuses)
    waiting = [status for status in statuses if (status.get("phase") or Phase.PENDING) == Phase.PENDING]
    reasons = Counter(str(status.get("reason") or "new") for status in waiting)
    counted = [f"{count} {phase}" for phase, count in sorted(phases.items())]
    if reasons:
        told = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        counted = [f"{each} ({told})" if each.endswith(Phase.PENDING) else each for each in counted]
    return Finding("Executions", True, ", ".join(counted) or "none")


def _freeze(access: Access) -> Iterator[Finding]:
    frozen = frozen_now(access)
    yield Finding("Freeze", True, "nothing is frozen" if frozen is None else f"FROZEN {freeze_words(frozen)}")


def _watcher(access: Access) -> Iterator[Finding]:
    # Wherever the executor is installed.
    leases = access.cluster.list(paths.leases(""), field_selector=f"metadata.name={LEASE_NAME}")
    found = [lease_finding(lease, clock.now()) for lease in leases]
    yield from found or [Finding("Watcher", False, f"there is no Lease {LEASE_NAME}: no watcher has ever led")]


def lease_finding(lease: dict[str, Any], now: datetime) -> Finding:
    """Say who leads. A Lease that was not renewed within its duration has no leader."""
    spec, namespace = lease.get("spec") or {}, lease["metadata"]["namespace"]
    renewed = read_instant(spec.get("renewTime"))
    holder = spec.get("holderIdentity") or ""
    if not holder or renewed is None:
        return Finding("Watcher", False, f"none leads (Lease {namespace}/{LEASE_NAME} was given up)")
    silent = (now - renewed).total_seconds()
    told = f"{holder} leads (Lease {namespace}/{LEASE_NAME}, renewed {short_age(silent)} ago)"
    if silent > (spec.get("leaseDurationSeconds") or 0):
        return Finding("Watcher", False, f"none leads: {holder} last renewed its Lease {short_age(silent)} ago")
    return Finding("Watcher", True, told)


def _redis(access: Access) -> Iterator[Finding]:
    ping(access.redis)
    yield Finding("Redis", True, access.settings.redis.url)
    opened = access.holds.gate_open()
    yield Finding("Gate", opened, "open" if opened else "closed: holds are being restored from the API server")
    depth = access.queue.depth()
    yield Finding("Queue", True, f"{depth.due} due, {depth.running} running, {depth.scheduled} scheduled")
    held = access.holds.all()
    yield Finding("Targets", True, f"{len(held)} held (`wfe locks`), {sum(each.waiting for each in held)} in line")
    waiting, set_aside = access.outbox.size(), access.outbox.quarantined()
    wait = access.outbox.flush_wait()
    put_off = f", next try in {short_age(wait.total_seconds())}" if wait else ""
    kept = f"{set_aside} in quarantine{' (`wfe audit quarantine list`)' if set_aside else ''}"
    trouble = access.outbox.trouble()
    told = f"; {trouble.failures} times in a row: {one_line(trouble.words)}" if trouble.failures else ""
    well = not set_aside and trouble.failures < _TROUBLED
    yield Finding("Outbox", well, f"{waiting} audit events wait{put_off}, {kept}{told}")


def _workers(access: Access) -> Iterator[Finding]:
    ping(access.redis)  # says sooner than a listener that it is away
    names = listen_for_workers(access.settings)
    detail = f"{len(names)}: {', '.join(names)}" if names else "none heard: no worker is running"
    yield Finding("Workers", bool(names), detail)


def _datastorage(access: Access) -> Iterator[Finding]:
    fault = datastorage_fault(access)
    yield Finding("DataStorage", not fault, fault or access.settings.audit.datastorage_url)


_TITLES: dict[Callable[[Access], Iterator[Finding]], str] = {
    _api_server: "API server",
    _freeze: "Freeze",
    _watcher: "Watcher",
    _redis: "Redis",
    _workers: "Workers",
    _datastorage: "DataStorage",
}
