"""One local stack of everything, under supervisord: `wfe local up`, and `cli.local.up` for tests.

What is exported is imported on first use: `wfe get` needs only the record of a stack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cli.local.request import StackRequest, Tekton
    from cli.local.stack import Stack, down, find, up

__all__ = ["Stack", "StackRequest", "Tekton", "down", "find", "up"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cli.local import request, stack

    return getattr(request if hasattr(request, name) else stack, name)
