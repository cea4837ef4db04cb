"""The samples of the project on a local registry, so that `kubectl apply -f docs/samples/…` works after `make up`."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final

from cli.errors import CommandError
from cli.local.places import LOOPBACK
from devcluster import bundle
from devcluster.bundle import BundleError

SAMPLES: Final = Path(__file__).parents[2] / "docs" / "samples"
REGISTRY_PORT: Final = 5000
"""The port that the samples name; another is taken only when this one is not free."""

WRITTEN_REGISTRY: Final = f"{LOOPBACK}:{REGISTRY_PORT}"


def preferred_port() -> int:
    """Return the port of the samples, 0 when something listens there."""
    try:
        with socket.create_server((LOOPBACK, REGISTRY_PORT)):
            return REGISTRY_PORT
    except OSError:
        return 0


def publish_samples(registry: str) -> list[str]:
    """Store the samples' bundles and return their references. Raises CommandError."""
    sources = sorted(path for path in (SAMPLES / "bundles").glob("*") if path.is_dir())
    try:
        return [bundle.publish(registry, f"kubernaut/{source.name}:v1", source) for source in sources]
    except BundleError as error:
        raise CommandError(str(error)) from error


def apply_command(registry: str, name: str) -> str:
    """Return the shell command that applies a sample where this registry is."""
    if registry == WRITTEN_REGISTRY:
        return f"kubectl apply -f docs/samples/{name}.yaml"
    return f"sed 's|{WRITTEN_REGISTRY}|{registry}|' docs/samples/{name}.yaml | kubectl apply -f -"
