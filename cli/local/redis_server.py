"""Find a Redis server, or install one with the machine's package manager where that needs no password."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Final

from cli.errors import CommandError
from cli.local.readiness import Say

EXECUTABLES: Final = ("redis-server", "valkey-server")
_INSTALL_WITHIN: Final = 300.0  # seconds

# Package manager, what it is told, and what a person would type.
_MANAGERS: Final = (
    ("apt-get", ("install", "--yes", "--no-install-recommends", "redis-server"), "apt-get install redis-server"),
    ("dnf", ("--assumeyes", "install", "redis"), "dnf install redis"),
    ("apk", ("add", "redis"), "apk add redis"),
    ("brew", ("install", "redis"), "brew install redis"),
)


def find_or_install(say: Say) -> str:
    """Return the path of a Redis server. Raises CommandError with what to install."""
    found = _found()
    if found:
        return found
    manager = next((each for each in _MANAGERS if shutil.which(each[0])), None)
    advice = manager[2] if manager else "your package manager"
    if manager is not None:
        say(f"redis: not installed; trying {advice}")
        _install(manager[0], manager[1])
    found = _found()
    if not found:
        raise CommandError(f"there is no redis-server (nor valkey-server) on PATH: install it with {advice}")
    return found


def _found() -> str | None:
    return next((path for name in EXECUTABLES if (path := shutil.which(name))), None)


def _install(manager: str, arguments: tuple[str, ...]) -> None:
    prefix = _as_root() if manager != "brew" else ()
    if prefix is None:
        return
    # A machine that never installed anything has no package lists; where updating them fails, those at hand may do.
    steps = [("update",), arguments] if manager == "apt-get" else [arguments]
    try:
        for step in steps:
            command = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", manager, *step]
            subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_INSTALL_WITHIN, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return


def _as_root() -> tuple[str, ...] | None:
    """Return how to run as root without being asked for a password, None when that is impossible."""
    if os.geteuid() == 0:
        return ()
    if (
        shutil.which("sudo")
        and subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0
    ):
        return ("sudo", "-n")
    return None
