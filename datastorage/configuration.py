"""Fetching what the settings are made of: the YAML file and the secret file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from datastorage.settings import Settings, parse_settings
from models.config_text import SECRET_KEYS, credentials, parse_yaml
from models.errors import Misconfigured


def load(option: str | None, environ: Mapping[str, str], overrides: Mapping[str, str]) -> Settings:
    """Return the settings of this process.

    `option` is `--config` and wins over CONFIG_PATH; `overrides` are variables that win over the environment.

    Raises:
        Misconfigured: a file cannot be read, or a value is not allowed.
    """
    name, path = ("--config", option) if option else ("CONFIG_PATH", environ.get("CONFIG_PATH", ""))
    document = _yaml_file(name, path) if path else None
    variables = {**environ, **overrides}
    # The first reading only finds the secret file; a wrong value anywhere stops here already.
    secret_file = parse_settings(document, variables, {}).database.secret_file
    return parse_settings(document, variables, _secret(secret_file) if secret_file else {})


def _yaml_file(name: str, path: str) -> object:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise Misconfigured(f"{name}={path}: allowed is a readable YAML file ({error.strerror})") from error
    return parse_yaml(f"{name}={path}", content)


def _secret(path: str) -> dict[str, str]:
    """Read `username` and `password` from a YAML file or from the directory a Secret is mounted at."""
    name = "database.secret_file"
    if not Path(path).is_dir():
        return credentials(f"{name}={path}", _yaml_file(name, path))
    files = [Path(path, key) for key in SECRET_KEYS]
    try:
        found = {file.name: file.read_text(encoding="utf-8").rstrip("\r\n") for file in files if file.exists()}
    except (OSError, UnicodeDecodeError):
        # Not chained: the cause may quote the file.
        raise Misconfigured(f"{name}={path}: allowed is a readable directory") from None
    return credentials(f"{name}={path}", found)
