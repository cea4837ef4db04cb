"""Fetch what the settings are made of: the file, the environment, the secret files.

What the values mean and what is allowed is models/settings.py; this module only reads.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from models.config_text import SECRET_KEYS, credentials, parse_yaml
from models.errors import Misconfigured
from models.settings import Settings, parse_settings

DEFAULT_NAMESPACE = "kubernaut-system"
POD_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


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
        content = Path(path).read_bytes()
    except OSError as error:
        raise Misconfigured(f"{name}={path}: allowed is a readable YAML file ({_reason(error)})") from error
    return parse_yaml(f"{name}={path}", content)


def _secrets(group: str, path: str) -> dict[str, str]:
    """Read `username` and `password` from a YAML file or from the directory a Secret is mounted at."""
    name = f"{group}.secret_file"
    found = _secret_directory(name, path) if Path(path).is_dir() else _yaml_file(name, path)
    return {f"{group}.{key}": text for key, text in credentials(f"{name}={path}", found).items()}


def _secret_directory(name: str, path: str) -> dict[str, str]:
    try:
        files = [Path(path, key) for key in SECRET_KEYS]
        return {file.name: file.read_text(encoding="utf-8").rstrip("\r\n") for file in files if file.exists()}
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{name}={path}: allowed is a readable directory ({_reason(error)})") from error


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else "not UTF-8"
