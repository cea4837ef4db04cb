"""`wfe status`: is every part there, and what waits. Asks all parts at once; exit 1 when one is not well."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import click
import yaml

from cli.access import Access, open_access
from cli.options import Chosen, Output, common
from cli.table import short_age, table
from cli.workers import listen_for_workers
from cli.world import datastorage_fault
from models.errors import ExecutorError
from models.instants import read_instant
from tasks import clock
from tasks.adapters import paths
from tasks.redis_scripts.connection import ping
from watcher.leader import LEASE_NAME


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
    except ExecutorError as error:
        return [Finding(_TITLES[ask], False, str(error))]


def _api_server(access: Access) -> Iterator[Finding]:
    version = (access.cluster.get("/version") or {}).get("gitVersion", "")
    yield Finding("API server", True, f"{version}, {access.kubeconfig.server}".strip(", "))
    phases: dict[str, int] = {}
    for document in access.everywhere().documents():
        phase = (document.get("status") or {}).get("phase") or "Pending"
        phases[phase] = phases.get(phase, 0) + 1
    counted = ", ".join(f"{count} {phase}" for phase, count in sorted(phases.items()))
    yield Finding("Executions", True, counted or "none")


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
    yield Finding("Targets", True, f"{len(held)} held, {sum(each.waiting for each in held)} in line (`wfe queue`)")
    waiting, set_aside = access.outbox.size(), access.outbox.quarantined()
    wait = access.outbox.flush_wait()
    put_off = f", next try in {short_age(wait.total_seconds())}" if wait else ""
    yield Finding("Outbox", not set_aside, f"{waiting} audit events wait{put_off}, {set_aside} in quarantine")


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
    _watcher: "Watcher",
    _redis: "Redis",
    _workers: "Workers",
    _datastorage: "DataStorage",
}
