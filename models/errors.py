"""Errors, named for what the caller does about them.

Adapters translate what their library raises into one of these at the border, so that nothing above an adapter
knows which library failed.
"""

from __future__ import annotations

from datetime import timedelta


class ExecutorError(Exception):
    """Base of every error this project raises on purpose."""


class Transient(ExecutorError):
    """The other side cannot answer now: try the same thing again later.

    `retry_after` is what the other side asked for (Retry-After), None when it asked for nothing.
    """

    def __init__(self, message: str, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Conflict(ExecutorError):
    """Somebody wrote in between: look again now and decide anew."""


class Permanent(ExecutorError):
    """The same request will never succeed. `reason` is the other side's machine-readable word for it.

    `said` is its whole text, to tell kinds of refusals apart: only the message may be shown to anybody.
    """

    def __init__(self, message: str, reason: str = "Unknown", said: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.said = said or message


class Misconfigured(ExecutorError):
    """A setting is wrong: the process says so in one line and exits with 2 before it connects anywhere."""
