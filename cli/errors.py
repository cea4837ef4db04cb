"""What ends a command: one clear line and an exit code, as kubectl does."""

from __future__ import annotations


class CommandError(Exception):
    """A command cannot do what it was asked; the message is for a person. Exit code 1."""


class UsageError(CommandError):
    """The request itself is wrong: an option, a name, a setting. Exit code 2."""
