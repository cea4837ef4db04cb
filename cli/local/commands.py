"""`wfe local`: the stack for a person."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click

from cli.errors import CommandError
from cli.local import building, record, removal, stack
from cli.local.parts import FLOWER_USER
from cli.local.record import Record, log_files, places_of
from cli.local.request import DEFAULT_NAME, StackRequest, Tekton, parse_pairs
from cli.local.samples import apply_command
from cli.local.stack import Stack
from cli.local.supervisor import PartState
from cli.table import short_age, table
from devcluster import builds
from devcluster.processes import log_end

_name = click.option("--name", default=DEFAULT_NAME, show_default=True, help="Several stacks run side by side.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def local() -> None:
    """Run everything on this machine.

    Redis, DataStorage, watcher, workers, beat and Flower, on a local cluster or on yours.
    """


@local.command()
@_name
@click.option("--kubeconfig", metavar="FILE", default="", help="Use this cluster.  [default: start a local one]")
@click.option(
    "--tekton",
    type=click.Choice([each.value for each in Tekton]),
    default=Tekton.REAL.value,
    show_default=True,
    help="Who moves the runs: the real controller, a scripted one, or nobody.",
)
@click.option("--workers", type=int, default=2, show_default=True, help="Worker processes.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting, as execution.cooldown_period=10s."
)
@click.option(
    "--port", "ports", multiple=True, metavar="PART=PORT", help="Where a part listens.  [default: free ports]"
)
@_json
def up(
    name: str,
    kubeconfig: str,
    tekton: str,
    workers: int,
    settings: tuple[str, ...],
    ports: tuple[str, ...],
    as_json: bool,
) -> None:
    """Start the stack and return when all of it is ready."""
    request = StackRequest(
        name=name,
        kubeconfig=str(Path(kubeconfig).absolute()) if kubeconfig else "",
        tekton=Tekton(tekton),
        workers=workers,
        settings=parse_pairs("--set", settings),
        ports=_ports(ports),
    )
    began = time.monotonic()
    started = building.up(request, say=lambda line: click.echo(line, err=True))
    click.echo(f"stack {name}: ready after {time.monotonic() - began:.1f} s", err=True)
    click.echo(json.dumps(described(started), indent=1) if as_json else _summary(started))


@local.command()
@_name
@click.option("--all", "everything", is_flag=True, help="Stop every stack.")
def down(name: str, everything: bool) -> None:
    """Stop the stack, and the cluster that was started for it."""
    for each in record.names() if everything else [name]:
        was_there = removal.down(each)
        click.echo(f"stack {each}: {'down' if was_there else 'there is none'}", err=True)


@local.command()
@_name
@_json
def status(name: str, as_json: bool) -> None:
    """Show the parts; exit 1 when one does not run."""
    known = record.read(places_of(name))
    if known is None:
        raise CommandError(f"there is no stack {name}: start it with `wfe local up`")
    if not known.alive():
        raise CommandError(f"stack {name} has ended (its supervisord is gone): `wfe local down` cleans up")
    shown = Stack(known, places_of(name))
    states, restarts = shown.states, shown.restarts
    if as_json:
        parts = {part: _described_part(state, restarts) for part, state in states.items()}
        click.echo(json.dumps({**described(shown), "phase": known.phase.value, "parts": parts}, indent=1))
    else:
        rows = [_row(known, state, restarts) for state in states.values()]
        click.echo(table(("NAME", "STATE", "PID", "RESTARTS", "AGE", "ADDRESS"), rows))
    if not all(state.runs for state in states.values()):
        raise SystemExit(1)


@local.command()
@_name
def env(name: str) -> None:
    """Print what a shell evaluates: eval "$(wfe local env)"."""
    running = stack.find(name)
    if running is None:
        raise CommandError(f"there is no stack {name}: start it with `wfe local up`")
    programs = dict.fromkeys(str(Path(program).parent) for program in (sys.executable, builds.kubectl()))
    click.echo(f"export KUBECONFIG={shlex.quote(running.kubeconfig)}")
    click.echo(f'export PATH={shlex.quote(":".join(programs))}:"$PATH"')


@local.command()
@_name
@click.argument("part", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on as the log grows.")
@click.option("--tail", default=20, show_default=True, help="How many of the last lines.")
def logs(name: str, part: str | None, follow: bool, tail: int) -> None:
    """Show the end of a part's log, or of all."""
    files = log_files(places_of(name))
    if not files:
        raise CommandError(f"there is no stack {name}")
    if part is not None and part not in files:
        raise CommandError(f"there is no log of {part}; there are {', '.join(files)}")
    chosen = {part: files[part]} if part else files
    if follow:
        _follow(chosen, tail)
        return
    for each, path in chosen.items():
        if len(chosen) > 1:
            click.echo(f"==> {each} <==")
        click.echo(log_end(path, tail))


def described(running: Stack) -> dict[str, Any]:
    """Return where everything of a stack is, as JSON has it."""
    return {
        "name": running.name,
        "kubeconfig": running.kubeconfig,
        "redis_url": running.redis_url,
        "datastorage_url": running.datastorage_url,
        "metrics_urls": dict(running.metrics_urls),
        "flower_url": running.flower_url,
        "flower_user": FLOWER_USER,
        "flower_password_file": str(running.places.flower_password),
        "audit_read_token_file": str(running.places.read_token),
        "audit_public_key_file": str(running.places.audit_public_key),
        "registry": running.registry,
        "settings": str(running.places.settings),
        "logs": str(running.places.logs),
        "pids": running.pids,
    }


def _summary(running: Stack) -> str:
    rows = [
        ("kubeconfig", f"export KUBECONFIG={running.kubeconfig}"),
        ("redis", running.redis_url),
        ("datastorage", f"{running.datastorage_url}  (token to read and hold with in {running.places.read_token})"),
        ("flower", f"{running.flower_url}  (user {FLOWER_USER}, password in {running.places.flower_password})"),
        *(("metrics", f"{url}  ({part})") for part, url in running.metrics_urls.items()),
        *([("registry", f"{running.registry}  (holds the bundles of docs/samples)")] if running.registry else []),
        ("logs", str(running.places.logs)),
        ("shell", f'eval "$({_own_command()} local env{_named(running.name)})"'),
        *([("try", apply_command(running.registry, "restart"))] if running.registry else []),
    ]
    return "\n".join(f"{f'{name}:':<13}{value}" for name, value in rows)


def _own_command() -> str:
    """Return how this command was called, where its name alone would not be found."""
    return "wfe" if shutil.which("wfe") else os.path.relpath(Path(sys.executable).with_name("wfe"))


def _named(name: str) -> str:
    return "" if name == DEFAULT_NAME else f" --name {name}"


def _row(known: Record, state: PartState, restarts: dict[str, int]) -> tuple[str, ...]:
    address = known.addresses.address(state.name) if state.name in known.ports else ""
    pid = str(state.pid) if state.pid else ""
    age = short_age(state.seconds) if state.pid else ""
    return (state.name, state.state, pid, str(restarts.get(state.name, 0)), age, address)


def _described_part(state: PartState, restarts: dict[str, int]) -> dict[str, Any]:
    return {
        "state": state.state,
        "pid": state.pid,
        "restarts": restarts.get(state.name, 0),
        "seconds": state.seconds,
        "exit_status": state.exit_status,
    }


def _ports(texts: tuple[str, ...]) -> dict[str, int]:
    ports = {}
    for part, text in parse_pairs("--port", texts).items():
        if not text.isascii() or not text.isdigit():
            raise click.UsageError(f"--port {part}={text}: allowed is a number from 1 to 65535")
        ports[part] = int(text)
    return ports


def _follow(files: dict[str, Path], tail: int) -> None:
    """Hand over to tail(1) until Ctrl-C."""
    try:
        subprocess.run(["tail", "-n", str(tail), "-F", *map(str, files.values())], check=False)
    except KeyboardInterrupt:
        return
