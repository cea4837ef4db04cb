"""A copy of the project in an empty folder, and the stack that `make compose-up` starts from it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from devcluster.ports import free_ports
from tests.e2e.compose.engine import Engine

ROOT = Path(__file__).parents[3]
_SLOWEST_MAKE = 700.0  # seconds
_OURS = (
    "KUBECONFIG",
    "COMPOSE_",
    "MAKE",
    "MFLAGS",
    "WFE_EXECUTION_",
    "WFE_BACKOFF_",
    "WFE_AUDIT_",
    "WFE_CELERY_",
    "DATASTORAGE_",
)


@dataclass(slots=True)
class Checkout:
    """The folder, and what a person sets before the first `make compose-up`."""

    folder: Path
    engine: Engine
    kubeconfig: Path
    project: str
    ports: dict[str, int] = field(default_factory=lambda: _free_ports("datastorage", "flower"))

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables of that person's shell."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        return {
            **inherited,
            **self.engine.environment,
            "COMPOSE_PROJECT_NAME": self.project,
            "COMPOSE_ANSI": "never",
            "COMPOSE_PROGRESS": "plain",
            "COMPOSE_WAIT_SECONDS": "360",
            "WFE_IMAGE_TAG": self.project,
        }

    def write_settings(self, **settings: str) -> None:
        """Write .env, as the example beside it says."""
        lines = {
            "KUBECONFIG_FILE": str(self.kubeconfig),
            "DATASTORAGE_PORT": str(self.ports["datastorage"]),
            "FLOWER_PORT": str(self.ports["flower"]),
            **settings,
        }
        text = "".join(f"{name}={value}\n" for name, value in lines.items())
        (self.folder / "compose" / ".env").write_text(text)

    def make(self, target: str, arguments: str = "") -> str:
        """Run make as a person does; fail with the end of what it said."""
        words = ["make", "-s", target, *([f"ARGS={arguments}"] if arguments else [])]
        done = subprocess.run(
            words, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=_SLOWEST_MAKE,
        )  # fmt: skip
        if done.returncode:
            said = "\n".join(line[:300] for line in done.stdout.splitlines()[-120:])
            pytest.fail(f"{' '.join(words)}: {done.returncode}\n{said}", pytrace=False)
        return done.stdout

    def compose(self, *words: str) -> str:
        """Run docker compose on the stack and return what it prints."""
        command = ["docker", "compose", "--file", "compose/compose.yaml", *words]
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def containers(self) -> list[dict[str, Any]]:
        """Return what the engine knows about every container of the stack, ended ones included."""
        ids = self.compose("ps", "--all", "--quiet").split()
        found: list[dict[str, Any]] = json.loads(self.engine.docker("inspect", *ids)) if ids else []
        return found

    def secret(self, name: str) -> str:
        """Return a generated password or token."""
        return (self.folder / "compose" / "secrets" / name).read_text().strip()


def copy_project(folder: Path) -> None:
    """Copy what git would hand to somebody else, changes that are not committed yet included."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:  # an archive, not a clone
        unwanted = shutil.ignore_patterns(".venv", ".git", "__pycache__", ".*_cache", ".hypothesis", "secrets", ".env")
        shutil.copytree(ROOT, folder, ignore=unwanted, dirs_exist_ok=True)
        return
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


def service_of(container: dict[str, Any]) -> str:
    """Return the name of the service that a container belongs to."""
    return str(container["Config"]["Labels"]["com.docker.compose.service"])


def _free_ports(*names: str) -> dict[str, int]:
    # None that an outgoing connection could take while the images are built.
    return dict(zip(names, free_ports("127.0.0.1", len(names)), strict=True))
