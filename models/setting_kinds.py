"""What a setting can be: each kind reads one raw value (YAML or environment text) and says what it allows.

A kind raises ValueError on anything else; models/settings.py turns that into the line a person sees.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Generic, Protocol, TypeVar
from urllib.parse import parse_qs, urlsplit

from models.duration import format_duration, parse_duration

T_co = TypeVar("T_co", covariant=True)
E = TypeVar("E", bound=StrEnum)

_WHOLE_SECOND = timedelta(seconds=1)


class Kind(Protocol[T_co]):
    """Reads one raw value."""

    @property
    def allowed(self) -> str:
        """Say what is allowed, as the end of an error line."""
        ...

    def read(self, value: object) -> T_co:
        """Return the typed value. Raises ValueError."""
        ...


@dataclass(frozen=True, slots=True)
class Secret:
    """A text that never shows itself."""

    _text: str = ""

    def reveal(self) -> str:
        """Return the text: only for the call that sends it."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __str__(self) -> str:
        return "***" if self._text else ""

    def __repr__(self) -> str:
        return f"Secret({str(self)!r})"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens. An empty host means every interface, port 0 a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class DurationKind:
    """Duration text, bounds included."""

    low: timedelta
    high: timedelta

    @property
    def allowed(self) -> str:
        return f"a duration such as 90s, 5m or 1h30m, from {show_duration(self.low)} to {show_duration(self.high)}"

    def read(self, value: object) -> timedelta:
        if isinstance(value, bool) or not (isinstance(value, str) or value == 0):
            raise ValueError("not a duration")
        duration = parse_duration(str(value))
        if not self.low <= duration <= self.high:
            raise ValueError("out of bounds")
        return duration


@dataclass(frozen=True, slots=True)
class WholeKind:
    """A whole number, bounds included."""

    low: int
    high: int

    @property
    def allowed(self) -> str:
        return f"a whole number from {self.low} to {self.high}"

    def read(self, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError("not a whole number")
        if isinstance(value, str) and not re.fullmatch(r"[0-9]{1,12}", value):
            raise ValueError("not a whole number")
        number = int(value)
        if not self.low <= number <= self.high:
            raise ValueError("out of bounds")
        return number


@dataclass(frozen=True, slots=True)
class NumberKind:
    """A number, bounds included."""

    low: float
    high: float

    @property
    def allowed(self) -> str:
        return f"a number from {self.low:g} to {self.high:g}"

    def read(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError("not a number")
        number = float(value)
        if not self.low <= number <= self.high:  # also false for NaN
            raise ValueError("out of bounds")
        return number


@dataclass(frozen=True, slots=True)
class FlagKind:
    """True or false."""

    @property
    def allowed(self) -> str:
        return "true or false"

    def read(self, value: object) -> bool:
        if isinstance(value, bool):
            return value
        text = value.lower() if isinstance(value, str) else ""
        if text not in ("true", "false"):
            raise ValueError("neither true nor false")
        return text == "true"


@dataclass(frozen=True, slots=True)
class ChoiceKind(Generic[E]):
    """One word of an enum, spelled exactly."""

    words: type[E]

    @property
    def allowed(self) -> str:
        return "one of " + ", ".join(word.value for word in self.words)

    def read(self, value: object) -> E:
        return self.words(str(value))


@dataclass(frozen=True, slots=True)
class TextKind:
    """A text that matches a pattern as a whole."""

    allowed: str
    pattern: str = r"[^\x00-\x1f]{0,4096}"

    def read(self, value: object) -> str:
        if not isinstance(value, str) or not re.fullmatch(self.pattern, value):
            raise ValueError("another form")
        return value


@dataclass(frozen=True, slots=True)
class UrlKind:
    """A URL of one of the schemes, without credentials: those come from a secret file."""

    schemes: tuple[str, ...]

    @property
    def allowed(self) -> str:
        return f"a URL {' or '.join(f'{scheme}://host' for scheme in self.schemes)} without user and password"

    def read(self, value: object) -> str:
        if not isinstance(value, str) or re.search(r"[\x00-\x20]", value):
            raise ValueError("not a URL")
        parts = urlsplit(value)
        _ = parts.port  # raises ValueError when it is no port
        if parts.scheme not in self.schemes or not parts.hostname:
            raise ValueError("not a URL of these schemes")
        if "@" in parts.netloc or {"username", "password"} & parse_qs(parts.query).keys():
            raise ValueError("credentials in the URL")
        return value


@dataclass(frozen=True, slots=True)
class AddressKind:
    """`:port`, `host:port` or `[v6]:port`."""

    @property
    def allowed(self) -> str:
        return "an address such as :9090 or 127.0.0.1:9090"

    def read(self, value: object) -> Address:
        match = re.fullmatch(
            r"(?:([A-Za-z0-9._-]*)|\[([0-9A-Fa-f:.]+)\]):([0-9]{1,5})", value if isinstance(value, str) else ""
        )
        if not match or int(match[3]) > 65535:
            raise ValueError("not an address")
        return Address(match[1] or match[2] or "", int(match[3]))


@dataclass(frozen=True, slots=True)
class SecretKind:
    """A text that only a secret file may give."""

    allowed: str = "given only by the file that redis.secret_file names"

    def read(self, value: object) -> Secret:
        if not isinstance(value, str) or re.search(r"[\x00\r\n]", value):
            raise ValueError("not one line of text")
        return Secret(value)


def show_duration(duration: timedelta) -> str:
    """Write a duration exactly, in milliseconds where it is no whole number of seconds."""
    if duration % _WHOLE_SECOND:
        return f"{duration / timedelta(milliseconds=1):g}ms"
    return format_duration(duration)
