"""What a local stack is asked to be, checked before anything starts.

Settings are those of the executor (models/settings.py); the places of the parts are the stack's own business.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from cli.errors import UsageError
from models.errors import Misconfigured
from models.settings import Settings, parse_settings

DEFAULT_NAME: Final = "default"
MAX_WORKERS: Final = 16
LISTENING: Final = ("redis", "datastorage", "watcher", "watcher-health", "flower", "registry")

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_OURS: Final = (
    "redis.url",
    "audit.datastorage_url",
    "audit.token_file",
    "audit.read_token_file",
    "kubernetes.kubeconfig",
    "kubernetes.context",
    "controller.metrics_addr",
    "controller.health_probe_addr",
)


class Tekton(StrEnum):
    """Who moves the runs."""

    NONE = "none"
    SCRIPTED = "scripted"
    REAL = "real"


@dataclass(frozen=True, slots=True, kw_only=True)
class StackRequest:
    """The options of `wfe local up`. No kubeconfig: a local cluster is started with the stack and ends with it.

    `login` is the kubeconfig of the executor on a given cluster; the administrator's when empty.
    """

    name: str = DEFAULT_NAME
    kubeconfig: str = ""
    login: str = ""
    tekton: Tekton = Tekton.REAL
    workers: int = 2
    settings: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)

    @property
    def worker_names(self) -> tuple[str, ...]:
        return tuple(f"worker-{number}" for number in range(1, self.workers + 1))

    @property
    def cluster_level(self) -> str:
        return "full" if self.tekton is Tekton.REAL else "api"


def check(request: StackRequest) -> None:
    """Refuse a request that cannot be met. Raises UsageError, with the option's name and what is allowed."""
    if not _NAME.fullmatch(request.name):
        raise UsageError(f"--name {request.name}: allowed are up to 32 of a-z, 0-9 and -, no - at the ends")
    if not 1 <= request.workers <= MAX_WORKERS:
        raise UsageError(f"--workers {request.workers}: allowed is a number from 1 to {MAX_WORKERS}")
    listening = (*LISTENING, *request.worker_names)
    for part, port in request.ports.items():
        if part not in listening:
            raise UsageError(f"--port {part}={port}: allowed parts are {', '.join(listening)}")
        if not 1 <= port <= 65535:
            raise UsageError(f"--port {part}={port}: allowed is a number from 1 to 65535")
    settings_document(request.settings, {})


def parse_pairs(option: str, texts: Iterable[str]) -> dict[str, str]:
    """Read repeated KEY=VALUE options. Raises UsageError."""
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise UsageError(f"{option} {text}: allowed is KEY=VALUE")
        pairs[key.strip()] = value
    return pairs


def settings_document(chosen: Mapping[str, str], places: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return the content of the settings file: what was chosen and where the parts are. Raises UsageError."""
    for key in chosen:
        if key in _OURS:
            raise UsageError(f"--set {key}: the local stack decides that itself")
        if "." not in key:
            raise UsageError(f"--set {key}={chosen[key]}: a key has the form group.key, as execution.cooldown_period")
    document: dict[str, dict[str, str]] = {}
    for key, value in {**chosen, **places}.items():
        group, _, name = key.partition(".")
        document.setdefault(group, {})[name] = value
    read_settings(document)
    return document


def read_settings(document: Mapping[str, Any]) -> Settings:
    """Return the settings of a document. Raises UsageError."""
    try:
        return parse_settings(document, {}, {})
    except Misconfigured as wrong:
        raise UsageError(f"--set {wrong}") from wrong
