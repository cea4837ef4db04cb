"""Load and call the Lua files of one part of this room. One call is one round trip, by the script's digest.

A script is put together from clock.lua, due.lua, `<part>.lua` and `<part>_<name>.lua`, in this order: the first
three hold functions and list the keys, so that no rule is written twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from redis.exceptions import NoScriptError

from tasks.redis_scripts.connection import Client, translated

Argument = str | bytes | int | float


def source(name: str) -> str:
    """Return the text of one Lua file of this room."""
    return (files(__package__) / f"{name}.lua").read_text(encoding="utf-8")


class Scripts:
    """The scripts `<part>_<name>.lua`, with the keys that all of them get."""

    def __init__(self, client: Client, part: str, names: Sequence[str], keys: Sequence[str], clock: str = "") -> None:
        """Read the files. `clock` is Lua that defines time_us(): tests set the time with it; Redis TIME otherwise."""
        self._client = client
        self._keys = tuple(keys)
        head = [clock or source("clock"), source("due"), source(part)]
        self._sources = {name: "\n".join([*head, source(f"{part}_{name}")]) for name in names}
        self._digests = {
            name: hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest() for name, text in self._sources.items()
        }

    def __call__(self, name: str, *arguments: Argument) -> Any:
        """Run one script. Raises Transient. A Redis that was restarted gets the text once, and keeps it."""
        with translated():
            try:
                return self._client.evalsha(self._digests[name], len(self._keys), *self._keys, *arguments)
            except NoScriptError:
                return self._client.eval(self._sources[name], len(self._keys), *self._keys, *arguments)
