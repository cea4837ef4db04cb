"""Fetching what the settings are made of: the YAML file and the secret file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from datastorage.settings import Settings, parse_settings
from models.errors import Misconfigured

_SECRET_KEYS = ("username", "password")
# What PyYAML raises besides its own errors: for 2024-13-45, 5000 digits, `!!bool x`, thousands of brackets.
_UNREADABLE = (ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)


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
        return yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_Loader)
    except OSError as error:
        raise Misconfigured(f"{name}={path}: allowed is a readable YAML file ({error.strerror})") from error
    except _Twice as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise Misconfigured(f"{name}={path}: {error.problem}, again at line {line}") from None
    except (yaml.YAMLError, *_UNREADABLE):
        # The parser's own text quotes the file, which may hold a secret.
        raise Misconfigured(f"{name}={path}: allowed is YAML in UTF-8") from None


def _secret(path: str) -> dict[str, str]:
    """Read `username` and `password` from a YAML file or from the directory a Secret is mounted at."""
    name = "database.secret_file"
    if Path(path).is_dir():
        files = [Path(path, key) for key in _SECRET_KEYS]
        return {file.name: file.read_text(encoding="utf-8").rstrip("\r\n") for file in files if file.exists()}
    found = _yaml_file(name, path)
    if not isinstance(found, Mapping) or not all(
        key in _SECRET_KEYS and isinstance(text, str) for key, text in found.items()
    ):
        raise Misconfigured(f"{name}={path}: allowed are texts under the keys username and password")
    return {str(key): text for key, text in found.items()}
