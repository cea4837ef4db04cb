"""`wfe demo`: a cluster with the real Tekton, three executions, their story and their audit; then everything is gone.

Every command that is shown is run, and what stands below it is its output.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from cli.errors import CommandError
from cli.local import Stack, StackRequest, Tekton, up
from cli.local.samples import SAMPLES, apply_command, publish_samples
from devcluster import builds
from devcluster.processes import log_end
from models.execution import Execution, read_execution
from models.status import Phase
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster

EXECUTIONS: Final = ("restart", "restart-again", "failing")
SETTINGS: Final = {"execution.cooldown_period": "10s"}
_WITHIN: Final = 60.0  # seconds, for each thing that is waited for
_POLL: Final = 0.1  # seconds


@click.command()
def demo() -> None:
    """Show it all, then remove it all.

    Starts everything, runs three samples on the real Tekton, and reads their audit back.
    """
    if not SAMPLES.is_dir():
        raise CommandError(f"{SAMPLES} is missing: the demo runs from a checkout of the project")
    builds.ensure("full", tekton_crds=False, say=_say)
    began = time.monotonic()
    request = StackRequest(name=f"demo-{os.getpid()}", tekton=Tekton.REAL, settings=SETTINGS)
    _heading("Starting a Kubernetes API server, Tekton, Redis, DataStorage, a watcher and two workers")
    stack = up(request, say=_say, detach=False)
    try:
        _tell(stack)
    except BaseException as error:
        if not isinstance(error, KeyboardInterrupt):
            _show_logs(stack)
        raise
    finally:
        _heading("Removing everything")
        stack.down()
    _heading(f"That was all of it, in {time.monotonic() - began:.0f} s; nothing is left behind")


def _tell(stack: Stack) -> None:
    stage = Stage(stack)
    _heading("The workflows are Tekton bundles in the local registry")
    for reference in publish_samples(stack.registry):
        click.echo(reference)

    _heading("Two remediations of one Deployment, and one of another that will fail")
    for name in EXECUTIONS:
        stage.run(apply_command(stack.registry, name))

    _heading("One run at a time on a target: the second waits for the first, then for its cooldown")
    stage.wait("restart-again", "waits", lambda execution: execution.status.queue is not None)
    stage.run("kubectl get wfe")
    stage.run("kubectl get events --field-selector reason=Queued -o custom-columns=MESSAGE:.message")
    stage.run("kubectl wait wfe/restart --for=jsonpath='{.status.phase}'=Completed --timeout=60s")
    stage.run("wfe why restart-again")
    stage.run("wfe queue")

    _heading("The failing one says where and why")
    stage.run("kubectl wait wfe/failing --for=jsonpath='{.status.phase}'=Failed --timeout=60s")
    stage.run("wfe why failing")

    _heading("The cooldown ends and the second starts by itself")
    stage.run("kubectl wait wfe/restart-again --for=jsonpath='{.status.phase}'=Completed --timeout=60s")
    stage.run("kubectl get wfe")

    _heading("The same story, read back from DataStorage")
    for name in EXECUTIONS:
        stage.wait(name, "has its audit stored", lambda execution: not execution.status.pending_facts)
        stage.run(f"wfe audit {name}")
    stage.run("wfe status")


@dataclass(frozen=True, slots=True)
class Stage:
    """Runs commands before the audience, on one stack."""

    stack: Stack

    def run(self, command: str) -> None:
        """Show a command line, run it, show what it says. Raises CommandError when it fails."""
        click.secho(f"\n$ {command}", bold=True)
        done = subprocess.run(
            ["sh", "-c", command],
            env=_environment(self.stack),
            cwd=SAMPLES.parents[1],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_WITHIN + 10,
            check=False,
        )
        click.echo(done.stdout.rstrip("\n"))
        if done.returncode:
            raise CommandError(f"`{command}` ended with code {done.returncode}")

    def wait(self, name: str, what: str, true: Callable[[Execution], bool]) -> None:
        """Return when an execution is as expected. Raises CommandError."""
        cluster = Cluster.connect(self.stack.kubeconfig)
        deadline = time.monotonic() + _WITHIN
        while True:
            document: dict[str, Any] | None = cluster.get(f"{paths.executions('default')}/{name}")
            execution = read_execution(document) if document else None
            if execution is not None and true(execution):
                return
            if time.monotonic() > deadline:
                phase = execution.status.phase if execution else Phase.PENDING
                raise CommandError(f"execution {name} is {phase}; after {_WITHIN:.0f} s it is not so that it {what}")
            time.sleep(_POLL)


def _environment(stack: Stack) -> dict[str, str]:
    """Return an environment in which kubectl and wfe find this stack, whatever else is set."""
    inherited = os.environ.items()  # noqa: TID251 - handed on to the commands, not read
    kept = {name: value for name, value in inherited if not name.startswith("WFE_") or name in _DIRECTORIES}
    programs = os.pathsep.join(str(Path(program).parent) for program in (sys.executable, builds.kubectl()))
    return {**kept, "KUBECONFIG": stack.kubeconfig, "PATH": f"{programs}{os.pathsep}{kept.get('PATH', os.defpath)}"}


_DIRECTORIES: Final = ("WFE_CACHE_DIR", "WFE_STATE_DIR")


def _show_logs(stack: Stack) -> None:
    for part in ("watcher", *stack.workers, "datastorage"):
        click.secho(f"\n==> the end of the log of {part} <==", err=True)
        click.echo(log_end(stack.log(part), 15), err=True)


def _heading(text: str) -> None:
    click.secho(f"\n# {text}", fg="cyan", bold=True)


def _say(line: str) -> None:
    click.echo(f"  {line}")
