"""Who asks and what he may do: the words that the two ways to know a caller share."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Protocol


class Right(StrEnum):
    """What a token allows: writing is storing events, holding is setting and lifting legal holds, reading is the rest.

    None of them has another in it.
    """

    READ = "read"
    WRITE = "write"
    HOLD = "hold"


class Reason(StrEnum):
    """Why a request was refused: the label of a metric, so there are only these."""

    MISSING = "missing"
    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    FORBIDDEN = "forbidden"
    UNAVAILABLE = "unavailable"


class Refused(Exception):
    """A request that is not served. `caller` is who asked, where that is known; never a token."""

    def __init__(
        self, reason: Reason, detail: str, *, caller: str = "", retry_after: timedelta = timedelta(seconds=5)
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.caller = caller
        self.retry_after = retry_after


class Callers(Protocol):
    """Tells a caller by his token."""

    def remembered(self, token: str, right: Right) -> str | None:
        """Return the name of a caller who is known to have the right; None when that has to be asked. Never waits."""
        ...

    def admit(self, token: str, right: Right) -> str:
        """Return the name of a caller who has the right; may wait for an answer. Raises Refused."""
        ...


def unknown() -> Refused:
    """Return the refusal of a token that nobody knows; it does not say why, which helps only who guesses."""
    return Refused(Reason.UNKNOWN, "a bearer token that is known here is needed")


def forbidden(name: str, right: Right) -> Refused:
    """Return the refusal of a caller who is known and lacks the right."""
    return Refused(Reason.FORBIDDEN, f"{name} does not have the right to {right}", caller=name)


def digest(token: str) -> bytes:
    """Return what is kept of a token."""
    return sha256(token.encode()).digest()
