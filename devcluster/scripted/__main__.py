"""Play PipelineRuns on an API server until told to stop; prints "ready" once the runs that are there are known."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from devcluster.scripted.connection import Client, ConfigurationError, Server
from devcluster.scripted.handle import READY
from devcluster.scripted.player import Player
from devcluster.scripted.reflector import Reflector
from devcluster.scripted.stage import runs_path

SWITCH_SECONDS = 0.001  # a write that waits for its turn of the interpreter shows in the latency


def main(argv: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m devcluster.scripted", description="Play Tekton on an API server.")
    parser.add_argument("--kubeconfig", type=Path, default=os.environ.get("KUBECONFIG"), help="default: KUBECONFIG")
    parser.add_argument("--namespace", help="only the runs of this namespace; default: all")
    parser.add_argument("--fast", action="store_true", help="no TaskRuns for runs that plainly succeed")
    parser.add_argument("--threads", type=int, default=8, help="writes at the same time; default: %(default)s")
    parser.add_argument("--until-eof", action="store_true", help="end with whoever holds the standard input")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="scripted: %(message)s", stream=sys.stderr)
    if arguments.kubeconfig is None:
        parser.error("--kubeconfig or KUBECONFIG is needed")
    try:
        client = Client(Server.read(Path(arguments.kubeconfig)))
    except ConfigurationError as error:
        print(f"scripted: {error}", file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    sys.setswitchinterval(SWITCH_SECONDS)
    if arguments.until_eof:
        threading.Thread(target=_end_with_input, daemon=True).start()
    play(client, arguments.namespace, fast=arguments.fast, threads=arguments.threads)
    return 0


def play(client: Client, namespace: str | None, *, fast: bool, threads: int) -> None:
    """Follow the runs and play them, for ever."""
    player = Player(client, fast=fast)
    player.start(threads)
    reflector = Reflector(client, runs_path(namespace))
    threading.Thread(target=_announce, args=(reflector.listed,), daemon=True).start()
    for change in reflector.follow():
        player.observe(change)


def _announce(listed: threading.Event) -> None:
    listed.wait()
    print(READY, flush=True)


def _end(number: int, frame: FrameType | None) -> None:
    # Nothing is in memory that a later start could not see on the API server.
    os._exit(0)


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
