"""One local stack of everything, under supervisord: `wfe local up`, and `cli.local.up` for tests."""

from cli.local.request import StackRequest, Tekton
from cli.local.stack import Stack, down, find, up

__all__ = ["Stack", "StackRequest", "Tekton", "down", "find", "up"]
