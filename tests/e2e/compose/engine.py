"""Find a container engine that has, or can get, the images of the stack; else make a private one for this test.

Where no image registry is reachable, the tool beside the project makes an engine and stand-ins for the images. What it
took longest to make stays in the project's cache; containers, images and the engine itself do not.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from devcluster.places import cache_root, locked
from tests.policy import require

IMAGES = ("python:3.12-slim", "redis:8", "postgres:17")
TOOL = Path(__file__).parents[4] / "shared" / "tools" / "compose-env.sh"
_SLOWEST_START = 480.0  # seconds
_SLOWEST_PULL = 180.0  # seconds, each image

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Engine:
    """A running engine. `host` is what DOCKER_HOST has to be, empty for docker's own choice."""

    host: str

    @property
    def environment(self) -> dict[str, str]:
        return {"DOCKER_HOST": self.host} if self.host else {}

    def docker(self, *words: str, check: bool = True) -> str:
        """Run docker and return what it prints; fail the test with what it says."""
        done = subprocess.run(
            ["docker", *words], env={**os.environ, **self.environment}, capture_output=True, text=True
        )
        if check and done.returncode:
            pytest.fail(f"docker {' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}", pytrace=False)
        return done.stdout.strip()

    def gateway(self) -> str:
        """Return the address of this machine that containers reach."""
        # Asked from inside: `docker network inspect bridge` of older engines does not show it.
        asked = ("run", "--rm", "--add-host", "host:host-gateway", IMAGES[0], "getent", "hosts", "host")
        return self.docker(*asked).split()[0]


@contextmanager
def engine(say: Say) -> Iterator[Engine]:
    """Give an engine; skip, or fail where CI is set, when there is no way to one."""
    host = os.environ.get("DOCKER_HOST", "")
    lacking = _lacking(Engine(host))
    if not lacking:
        say(f"the engine at {host or 'the usual place'}")
        yield Engine(host)
        return
    require(TOOL.is_file(), f"a container engine ({lacking})")
    require(os.geteuid() == 0, f"root, to start a private container engine ({lacking})")
    home = cache_root() / "compose-engine"
    with locked(home.with_suffix(".lock")):
        yield from _private(home, say)


def _private(home: Path, say: Say) -> Iterator[Engine]:
    _end(home)  # one that a killed run left
    log = home.with_suffix(".log")
    try:
        _start(home, log, say)
        yield Engine(f"unix://{home}/docker.sock")
    finally:
        began = time.monotonic()
        _end(home)
        say(f"the private engine is gone after {time.monotonic() - began:.0f} s")


def _start(home: Path, log: Path, say: Say) -> None:
    say("starting a private container engine, one to three minutes")
    command = ["bash", str(TOOL), "up", str(home)]
    with (
        log.open("w") as output,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=output, text=True, start_new_session=True) as tool,
    ):
        overdue = threading.Timer(_SLOWEST_START, os.killpg, (tool.pid, signal.SIGKILL))
        overdue.start()
        assert tool.stdout is not None
        for line in tool.stdout:
            say(line.strip())
        code = tool.wait()
        overdue.cancel()
    if code or (lacking := _lacking(Engine(f"unix://{home}/docker.sock"))):
        shutil.rmtree(home / "rootfs", ignore_errors=True)  # it may be half made
        reason = f"exit code {code}" if code else lacking
        said = "\n".join(_tail(file) for file in (log, home / "dockerd.log"))
        pytest.fail(f"the private container engine did not start: {reason}\n{said}", pytrace=False)


def _end(home: Path) -> None:
    if _runs(home / "dockerd.pid"):
        subprocess.run(["bash", str(TOOL), "down", str(home)], capture_output=True, check=False, timeout=120)
    for left in home.iterdir() if home.is_dir() else ():
        if left.name != "rootfs":
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)


def _runs(pid_file: Path) -> bool:
    # After a crash of the machine the number may be another process's by now.
    try:
        return Path("/proc", pid_file.read_text().strip(), "comm").read_text().strip() == "dockerd"
    except OSError:
        return False


def _lacking(found: Engine) -> str:
    """Say what keeps an engine from being used; empty when nothing does."""
    if shutil.which("docker") is None:
        return "no docker command"
    environment = {**os.environ, **found.environment}
    for words in (["compose", "version"], ["version"]):
        if subprocess.run(["docker", *words], env=environment, capture_output=True).returncode:
            return f"`docker {' '.join(words)}` fails"
    for image in IMAGES:
        if subprocess.run(["docker", "image", "inspect", image], env=environment, capture_output=True).returncode:
            try:
                pull = subprocess.run(
                    ["docker", "pull", "-q", image], env=environment, capture_output=True, timeout=_SLOWEST_PULL
                )
            except subprocess.TimeoutExpired:
                return f"{image} cannot be pulled within {_SLOWEST_PULL:.0f} s"
            if pull.returncode:
                return f"{image} cannot be pulled"
    return ""


def _tail(file: Path) -> str:
    return "\n".join(file.read_text(errors="replace").splitlines()[-15:]) if file.is_file() else ""
