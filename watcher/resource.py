"""What a stream follows, and how patiently. Seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from models.keys import Key


class Seen(Protocol):
    """The slim remains of an object."""

    @property
    def uid(self) -> str: ...

    @property
    def key(self) -> Key | None: ...


S = TypeVar("S", bound=Seen)


@dataclass(frozen=True, slots=True)
class Resource(Generic[S]):
    """What is watched, and when a change of it wants a pass."""

    name: str
    path: str
    selector: str
    see: Callable[[Mapping[str, Any]], S]
    changed: Callable[[S | None, S], bool]
    listed: Callable[[S | None, S], bool]
    fields: str = ""
    """A field selector, where labels do not tell."""
    appeared: Callable[[], None] = lambda: None
    """Called when the API server has come to know the type, and everything is listed."""


@dataclass(frozen=True, slots=True)
class Timing:
    read_timeout: float = 75.0
    shortest_watch: float = 240.0
    longest_watch: float = 300.0
    absent_pause: float = 4.0
    very_short: float = 1.0
    healthy: float = 10.0
    first_backoff: float = 0.8
    last_backoff: float = 30.0
