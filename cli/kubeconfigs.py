"""Which kubeconfig a command uses, and the namespace its context names. Reads files, sends nothing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cli.errors import UsageError
from cli.local import record
from cli.local.record import Record
from cli.local.request import DEFAULT_NAME

DEFAULT_NAMESPACE = "default"


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """Where the API server is said to be. `stack` is the local stack that belongs to it, None when none does."""

    paths: str
    context: str
    namespace: str
    server: str
    stack: Record | None


def choose(given: str, context: str) -> Kubeconfig:
    """Take the given one (option, settings or KUBECONFIG), else the running local stack's, else ~/.kube/config.

    Raises:
        UsageError: no named file is there, one is no YAML, or there is no such context.
    """
    stacks = [known for name in record.names() if (known := record.running(name))]
    if given:
        own = next((known for known in stacks if _same_file(known.kubeconfig, given)), None)
        return _described(given, context, own)
    if stacks:
        chosen = next((known for known in stacks if known.request.name == DEFAULT_NAME), stacks[0])
        return _described(chosen.kubeconfig, context, chosen)
    return _described(str(Path.home() / ".kube" / "config"), context, None)


def _described(paths: str, context: str, stack: Record | None) -> Kubeconfig:
    """Join the files as kubectl does: one that is missing says nothing, and what an earlier one says counts."""
    documents = [read for path in paths.split(os.pathsep) if path and (read := _read(Path(path))) is not None]
    if not documents:
        raise UsageError(
            f"there is no kubeconfig {paths}: name one with --kubeconfig or KUBECONFIG, or start `wfe local up`"
        )
    current = context or next((name for each in documents if (name := each.get("current-context"))), "")
    contexts = _named(documents, "context")
    if context and context not in contexts:
        raise UsageError(f'context "{context}" does not exist in {paths}')
    meant = contexts.get(current, {})
    server = _named(documents, "cluster").get(meant.get("cluster", ""), {}).get("server") or ""
    # The client library would take the current-context of the last file.
    return Kubeconfig(paths, current, meant.get("namespace") or DEFAULT_NAMESPACE, server, stack)


def _named(documents: Sequence[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    entries = (entry for each in reversed(documents) for entry in each.get(f"{kind}s") or ())
    return {entry["name"]: entry.get(kind) or {} for entry in entries}


def _read(path: Path) -> dict[str, Any] | None:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UsageError(f"kubeconfig {path} cannot be read: {type(error).__name__}") from error
    if not isinstance(document, dict):
        raise UsageError(f"kubeconfig {path} is no mapping")
    return document


def _same_file(one: str, other: str) -> bool:
    return Path(one).resolve() == Path(other).resolve()
