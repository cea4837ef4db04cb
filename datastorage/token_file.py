"""Callers from a file of tokens, which is read again as it changes: a token is given and taken without a restart.

A line is `NAME RIGHTS TOKEN`, RIGHTS being one or more of read, write and hold, with commas between. Only hashes of
tokens are kept. A new file that is wrong changes nothing: the tokens of the last good one hold, which the log and a
metric say.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from datastorage.callers import Right, digest, forbidden, unknown
from models.errors import Misconfigured

BEARER_TOKEN = r"[A-Za-z0-9._~+/-]+=*"
"""What may stand behind `Bearer` (RFC 6750, 2.1)."""

_RIGHTS = f"RIGHTS being one or more of {', '.join(Right)}, with commas between"
_SHORTEST = 20  # characters; a token is guessed, not chosen
_LOOK_EVERY = 1.0  # seconds

log = logging.getLogger("datastorage.tokens")


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a token stands for."""

    name: str
    rights: frozenset[Right]


class TokenFile:
    """The callers of one file. `monotonic` gives seconds."""

    def __init__(self, path: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Read the file. Raises Misconfigured, naming the line but nothing of what is in it."""
        self._path = path
        self._monotonic = monotonic
        content = self._content()
        self._callers = parse_tokens(path, content)
        self._seen = sha256(content).digest()
        self._looked = monotonic()
        self._fault = ""

    def __len__(self) -> int:
        return len(self._callers)

    def remembered(self, token: str, right: Right) -> str | None:
        """Return the name of a caller who has the right."""
        self.look()
        caller = self._callers.get(digest(token))
        return caller.name if caller is not None and right in caller.rights else None

    def admit(self, token: str, right: Right) -> str:
        """Return the name of a caller who has the right. Raises Refused."""
        self.look()
        caller = self._callers.get(digest(token))
        if caller is None:
            raise unknown()
        if right not in caller.rights:
            raise forbidden(caller.name, right)
        return caller.name

    def look(self) -> bool:
        """Take over what the file says now, once a second at most; say whether it is a good one."""
        now = self._monotonic()
        if now - self._looked >= _LOOK_EVERY:
            self._looked = now
            self._take_over()
        return not self._fault

    def _take_over(self) -> None:
        try:
            content = self._content()
            # By content, not by its time: two changes within one tick of the clock look alike.
            seen = sha256(content).digest()
            if seen != self._seen:
                self._callers = parse_tokens(self._path, content)
                self._seen = seen
                log.info("the tokens were read again", extra={"fields": self._described()})
            elif self._fault:
                log.info("the token file is as before", extra={"fields": self._described()})
            self._fault = ""
        except Misconfigured as wrong:
            if str(wrong) != self._fault:
                log.error("the token file is broken; the old tokens hold", extra={"fields": {"fault": str(wrong)}})
            self._fault = str(wrong)

    def _described(self) -> dict[str, object]:
        return {"token_file": self._path, "tokens": len(self._callers)}

    def _content(self) -> bytes:
        try:
            return Path(self._path).read_bytes()
        except OSError:
            raise Misconfigured(f"server.token_file={self._path}: allowed is a readable file") from None


def parse_tokens(path: str, content: bytes) -> Mapping[bytes, Caller]:
    """Return the callers by the hashes of their tokens. Raises Misconfigured."""
    name = f"server.token_file={path}"
    try:
        lines = content.decode().splitlines()
    except UnicodeDecodeError:
        raise Misconfigured(f"{name}: allowed is a readable file") from None
    callers: dict[bytes, Caller] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        words = line.split()
        rights = frozenset(words[1].split(",")) if len(words) == 3 else frozenset[str]()
        if not rights or not rights <= set(Right):
            raise Misconfigured(f"{name}, line {number}: allowed is NAME RIGHTS TOKEN, {_RIGHTS}")
        key = digest(words[2])
        if len(words[2]) < _SHORTEST or not re.fullmatch(BEARER_TOKEN, words[2]) or key in callers:
            raise Misconfigured(
                f"{name}, line {number}: allowed is a token of its own of {_SHORTEST} characters or more "
                "from A-Z, a-z, 0-9, -, ., _, ~, + and /"
            )
        callers[key] = Caller(words[0], frozenset(Right(right) for right in rights))
    if not callers:
        raise Misconfigured(f"{name}: allowed is a file with at least one token")
    return callers
