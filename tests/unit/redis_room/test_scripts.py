"""The Lua files: each is called from its Python, and its header says which keys it has and what it returns."""

from __future__ import annotations

from importlib.resources import files

import pytest

from tasks.redis_scripts import hold, outbox, queue
from tasks.redis_scripts.scripts import source

HEADS = ("clock", "due")
NAMES = {"queue": queue._NAMES, "hold": hold._NAMES, "outbox": outbox._NAMES}
KEYS = {
    "queue": queue._PARTS,
    "hold": hold._KEYS,
    "outbox": ("due", *(f"outbox:{part}" for part in outbox._PARTS)),
}
TYPES = ("ZSET", "SET", "HASH", "STRING")


def header(name: str) -> list[str]:
    """Return the comment a file opens with."""
    lines = source(name).splitlines()
    return lines[: next(number for number, line in enumerate(lines) if not line.startswith("--"))]


def test_every_lua_file_is_called() -> None:
    stored = {path.name.removesuffix(".lua") for path in files("tasks.redis_scripts").iterdir() if ".lua" in path.name}
    called = {f"{part}_{name}" for part, names in NAMES.items() for name in names}
    assert stored == {*HEADS, *NAMES, *called}


@pytest.mark.parametrize("part", NAMES)
def test_the_header_of_a_part_lists_its_keys_in_their_order(part: str) -> None:
    text = "\n".join(header(part))
    for number, key in enumerate(KEYS[part], start=1):
        line = next(line for line in header(part) if line.startswith(f"--   {number} "))
        assert f"{{prefix}}:{key} " in line
        assert any(kind in line for kind in TYPES) or "ZSETs unless it says HASH" in text
    assert "written by" in text


@pytest.mark.parametrize("name", [f"{part}_{name}" for part, names in NAMES.items() for name in names])
def test_the_header_of_a_script_says_what_it_touches_and_returns(name: str) -> None:
    text = "\n".join(header(name))
    assert "ARGV" in text or "Reads due and running" in text
    assert "Touches" in text or "Reads" in text
    assert "Returns" in text
