"""One local stack of everything, under supervisord: `wfe local up`, and `cli.local.up` for tests.

What is exported is imported on first use: `wfe get` needs only the record of a stack.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cli.local.building import up
    from cli.local.removal import down
    from cli.local.request import StackRequest, Tekton
    from cli.local.stack import Stack, find

__all__ = ["Stack", "StackRequest", "Tekton", "down", "find", "up"]


_HOMES = {
    "Stack": "stack",
    "StackRequest": "request",
    "Tekton": "request",
    "down": "removal",
    "find": "stack",
    "up": "building",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"cli.local.{_HOMES[name]}"), name)
