"""Fetch what the settings are made of: the file, the environment, the secret files.

What the values mean and what is allowed is models/settings.py; this module only reads.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from models.errors import Misconfigured
from models.settings import Settings, parse_settings

_SECRET_KEYS = ("username", "password")
# What PyYAML raises besides its own errors: for 2024-13-45, 5000 digits, `!!bool x`, thousands of brackets.
_UNREADABLE = (ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)
DEFAULT_NAMESPACE = "kubernaut-system"
POD_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class _Twice(yaml.MarkedYAMLError):
    """A key stands twice in one mapping."""


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice: YAML itself lets the later value win without a word."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if (key.tag, key.value) in seen:
                raise _Twice(problem=f"key {key.value[:80]!r} is given twice", problem_mark=key.start_mark)
            seen.add((key.tag, key.value))
        return node


def load(argv_config: str | None = None, *, environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of this process; `argv_config` is `--config` and wins over WFE_CONFIG.

    Raises:
        Misconfigured: a file cannot be read, or a value is not allowed.
    """
    variables = os.environ if environ is None else environ
    given = ("--config", argv_config) if argv_config else ("WFE_CONFIG", variables.get("WFE_CONFIG", ""))
    document = _yaml_file(*given) if given[1] else None
    # The first reading only finds the secret file; a wrong value anywhere stops here already.
    secret_file = parse_settings(document, variables, {}).redis.secret_file
    secrets = _secrets("redis", secret_file) if secret_file else {}
    return parse_settings(document, variables, secrets)


def own_namespace(environ: Mapping[str, str] | None = None) -> str:
    """Return where this process lives: the watcher's Lease and the freeze are there."""
    given = (os.environ if environ is None else environ).get("POD_NAMESPACE")
    if given:
        return given
    try:
        return POD_NAMESPACE_FILE.read_text(encoding="utf-8").strip() or DEFAULT_NAMESPACE
    except OSError:
        return DEFAULT_NAMESPACE


def load_or_exit(argv_config: str | None = None) -> Settings:
    """Return the settings, or say in one line what is wrong and exit with 2: for entry points."""
    try:
        return load(argv_config)
    except Misconfigured as wrong:
        sys.stderr.write(f"misconfigured: {wrong}\n")
        raise SystemExit(2) from None


def _yaml_file(name: str, path: str) -> object:
    try:
        return yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{name}={path}: allowed is a readable YAML file ({_reason(error)})") from error
    except _Twice as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise Misconfigured(f"{name}={path}: {error.problem}, again at line {line}") from None
    except yaml.YAMLError as error:
        # The parser's own text runs over several lines and quotes the file, which may hold a secret.
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark else ""
        raise Misconfigured(f"{name}={path}: allowed is YAML; it breaks off{place}") from None
    except _UNREADABLE as error:
        raise Misconfigured(
            f"{name}={path}: allowed is YAML; a value in it cannot be read ({type(error).__name__})"
        ) from None


def _secrets(group: str, path: str) -> dict[str, str]:
    """Read `username` and `password` from a YAML file or from the directory a Secret is mounted at."""
    name = f"{group}.secret_file"
    found = _secret_directory(name, path) if Path(path).is_dir() else _yaml_file(name, path)
    if not isinstance(found, Mapping) or not found or not all(isinstance(text, str) for text in found.values()):
        raise Misconfigured(f"{name}={path}: allowed are texts under the keys username and password")
    unknown = sorted(str(key) for key in found if key not in _SECRET_KEYS)
    if unknown:
        raise Misconfigured(f"{name}={path}: unknown key {unknown[0]}; allowed are username and password")
    return {f"{group}.{key}": text for key, text in found.items()}


def _secret_directory(name: str, path: str) -> dict[str, str]:
    try:
        files = [Path(path, key) for key in _SECRET_KEYS]
        return {file.name: file.read_text(encoding="utf-8").rstrip("\r\n") for file in files if file.exists()}
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{name}={path}: allowed is a readable directory ({_reason(error)})") from error


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else "not UTF-8"
