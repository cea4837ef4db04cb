"""What stands in a configuration file or a secret file: bytes in, values or one clear line out.

Files are read by tasks/config.py and datastorage/configuration.py. The one module of this room that knows a library for
it: PyYAML (docs/decisions/0009-one-reader-of-yaml.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from models.errors import Misconfigured

SECRET_KEYS = ("username", "password")
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


def parse_yaml(name: str, content: bytes) -> object:
    """Return the one document in a file; `name` is how the file is called in an error.

    Raises:
        Misconfigured: it is not YAML, a value in it cannot be read, or a key is given twice.
    """
    try:
        return yaml.load(content.decode(), Loader=_Loader)
    except UnicodeDecodeError:
        raise Misconfigured(f"{name}: allowed is a readable YAML file (not UTF-8)") from None
    except _Twice as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise Misconfigured(f"{name}: {error.problem}, again at line {line}") from None
    except yaml.YAMLError as error:
        # The parser's own text runs over several lines and quotes the file, which may hold a secret.
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark else ""
        raise Misconfigured(f"{name}: allowed is YAML; it breaks off{place}") from None
    except _UNREADABLE as error:
        raise Misconfigured(f"{name}: allowed is YAML; a value in it cannot be read ({type(error).__name__})") from None


def credentials(name: str, found: object) -> dict[str, str]:
    """Return `username` and `password`, or one of them, of a secret file. Raises Misconfigured."""
    if not isinstance(found, Mapping) or not found or not all(isinstance(text, str) for text in found.values()):
        raise Misconfigured(f"{name}: allowed are texts under the keys username and password")
    unknown = sorted(str(key) for key in found if key not in SECRET_KEYS)
    if unknown:
        raise Misconfigured(f"{name}: unknown key {unknown[0]}; allowed are username and password")
    return dict(found)
