"""Run local clusters from the command line: `python -m devcluster`."""

from __future__ import annotations

import json
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import click

from devcluster import builds, cluster, processes, records
from devcluster.cluster import Cluster
from devcluster.places import DevclusterError, UsageError, state_root

DEFAULT_NAME = "default"

_name = click.option("--name", default=DEFAULT_NAME, show_default=True, help="Several clusters run side by side.")
_level = click.option("--level", type=click.Choice(records.LEVELS), default="full", show_default=True)
_output = click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Run a real Kubernetes control plane on this machine, without containers.

    Level api is etcd and kube-apiserver. Level full adds controllers, scheduler, a node played by KWOK, Tekton and an
    OCI registry.
    """


@main.command()
@_name
@_level
@click.option("--tekton-crds", is_flag=True, help="Install Tekton's CRDs (level full always has them).")
@click.option("--audit-log", is_flag=True, help="Write the API server's audit log, one JSON object a line.")
@click.option("--listen", metavar="ADDRESS", help="Serve the API on this address of the machine instead of 127.0.0.1.")
@click.option("--keep-logs", is_flag=True, help="Keep the logs when the cluster goes down.")
@click.option("--use-existing", is_flag=True, help="Start nothing, use the cluster that KUBECONFIG names.")
@_output
def up(
    name: str,
    level: records.Level,
    tekton_crds: bool,
    audit_log: bool,
    listen: str | None,
    keep_logs: bool,
    use_existing: bool,
    output: str,
) -> None:
    """Start a cluster, building first what is not built yet. One that runs already is left as it is."""
    began = time.monotonic()
    if use_existing:
        _show(cluster.use_existing(tekton_crds=tekton_crds), output)
        return
    asked = records.Request(name, level, tekton_crds, audit_log, listen, keep_logs)
    running = cluster.find(name)
    if running is not None and running.record is not None and running.record.phase is records.Phase.READY:
        if running.record.request != asked:
            raise UsageError(f"cluster {name} runs with other options; run `down` first or choose another --name")
    else:
        running = cluster.start(
            level,
            name=name,
            tekton_crds=tekton_crds,
            audit_log=audit_log,
            listen=listen,
            keep_logs=keep_logs,
            detach=True,
            say=_say,
        )
        _say(f"cluster {name} is ready after {time.monotonic() - began:.1f} s")
    _show(running, output)


@main.command()
@_name
@click.option("--all", "everything", is_flag=True, help="Stop every cluster.")
@click.option("--keep-logs", is_flag=True, help="Keep the logs.")
def down(name: str, everything: bool, keep_logs: bool) -> None:
    """Stop a cluster and remove everything it left."""
    for each in cluster.names() if everything else [name]:
        if cluster.stop(each, keep_logs=keep_logs):
            kept = records.kept_logs(state_root() / each)
            _say(f"cluster {each} is down" + (f", its logs are in {kept}" if kept.is_dir() else ""))
        else:
            _say(f"there is no cluster {each}")


@main.command()
@click.option("--name", help="Only this cluster.  [default: all]")
@_output
def status(name: str | None, output: str) -> None:
    """Show the clusters; exit 1 when a named one is not ready."""
    shown = [_described(each) for each in ([name] if name else cluster.names())]
    if output == "json":
        print(json.dumps(shown, indent=1))
    elif not shown:
        print("no cluster runs")
    for each in shown if output == "text" else ():
        first = f"{each['name']}: {each['phase']}"
        print(f"{first}, level {each['level']}, {each['server']}" if each["server"] else first)
        for component, lives in each["components"].items():
            print(f"  {component}: {'runs' if lives else 'is gone'}")
        if each["message"]:
            print(f"  {each['message']}")
    if name and shown[0]["phase"] != records.Phase.READY:
        sys.exit(1)


@main.command()
@_name
def env(name: str) -> None:
    """Print what a shell evaluates to point kubectl at the cluster: eval "$(python -m devcluster env)"."""
    found = cluster.find(name)
    if found is None:
        raise DevclusterError(f"no cluster {name} runs; start it with `python -m devcluster up --name {name}`")
    print(f"export KUBECONFIG={shlex.quote(str(found.kubeconfig))}")


@main.command()
@_name
@click.argument("component", required=False)
@click.option("--lines", default=40, show_default=True, help="How many of the last lines of each log.")
def logs(name: str, component: str | None, lines: int) -> None:
    """Print the end of the logs, also of a cluster that has failed."""
    place = records.logs(state_root() / name)
    if not place.is_dir():
        place = records.kept_logs(state_root() / name)
    files = sorted(place.glob(f"{component}.*" if component else "*.log")) if place.is_dir() else []
    if not files:
        raise DevclusterError(f"there are no logs of {component or 'a cluster'} {'in ' if component else ''}{name}")
    for file in files:
        if len(files) > 1:
            print(f"==> {file.stem} <==")
        print(processes.log_end(file, lines))


@main.command()
@_level
@click.option("--tekton-crds", is_flag=True, help="Prepare Tekton's CRDs for level api as well.")
def build(level: str, tekton_crds: bool) -> None:
    """Build what a level needs, so that `up` does not have to."""
    builds.ensure(level, tekton_crds=tekton_crds, say=_say)
    _say(f"everything for level {level} is built")


def _show(found: Cluster, output: str) -> None:
    described = {
        "name": found.record.request.name if found.record else "existing",
        "level": found.record.request.level if found.record else "existing",
        "server": found.server,
        "kubeconfig": str(found.kubeconfig),
        "registry": found.registry,
        "audit_log": str(found.audit_log) if found.audit_log else None,
        "kubectl": str(found.kubectl),
        "directory": str(found.directory),
        "keeper_pid": found.record.keeper.pid if found.record else None,
    }
    if output == "json":
        print(json.dumps(described, indent=1))
        return
    for key in ("server", "registry", "audit_log"):
        if described[key]:
            print(f"{key.replace('_', ' ')}: {described[key]}")
    print(f"export KUBECONFIG={shlex.quote(str(found.kubeconfig))}")


def _described(name: str) -> dict[str, Any]:
    record = records.read(state_root() / name)
    if record is None:
        return {"name": name, "phase": "absent", "level": "", "server": "", "message": "", "components": {}}
    gone = not record.alive() and record.phase is not records.Phase.FAILED
    return {
        "name": name,
        "phase": "dead" if gone else str(record.phase),
        "level": record.request.level,
        "server": record.server,
        "kubeconfig": str(records.kubeconfig(state_root() / name)),
        "registry": record.registry,
        "message": record.message,
        "keeper_pid": record.keeper.pid,
        "components": {each: process.alive() for each, process in record.components.items()},
        "component_pids": {each: process.pid for each, process in record.components.items()},
        "logs": str(records.logs(Path(state_root() / name))),
    }


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def run() -> None:
    """Run the command line; a failure is one message and exit code 1, a wrong option exit code 2."""
    try:
        main(prog_name="python -m devcluster")
    except DevclusterError as error:
        _say(f"devcluster: {error}")
        sys.exit(2 if isinstance(error, UsageError) else 1)


if __name__ == "__main__":
    run()
