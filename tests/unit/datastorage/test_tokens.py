"""The token file: what is refused, in one line that quotes no token."""

from __future__ import annotations

from pathlib import Path

import pytest

from datastorage.authentication import Right, read_tokens
from datastorage.settings import parse_settings
from models.errors import Misconfigured

TOKEN = "t" * 20


def test_names_rights_and_tokens(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"# comment\n\nexecutor write {TOKEN}\nwfe  read,write\t{TOKEN}2\n")
    callers = read_tokens(str(tmp_path / "tokens"))
    assert {caller.name: caller.rights for caller in callers.values()} == {
        "executor": {Right.WRITE},
        "wfe": {Right.READ, Right.WRITE},
    }
    assert TOKEN.encode() not in b"".join(callers)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "allowed is a file with at least one token"),
        (f"executor {TOKEN}", "line 1: allowed is NAME read|write|read,write TOKEN"),
        (f"executor write more {TOKEN}", "line 1: allowed is NAME"),
        (f"\nexecutor delete {TOKEN}", "line 2: allowed is NAME"),
        ("executor write short", "line 1: allowed is a token of its own of 20 characters or more"),
        (f"a write {TOKEN}\nb read {TOKEN}", "line 2: allowed is a token of its own"),
    ],
)
def test_a_wrong_line_is_named_and_not_quoted(tmp_path: Path, text: str, line: str) -> None:
    (tmp_path / "tokens").write_text(text)
    with pytest.raises(Misconfigured) as caught:
        read_tokens(str(tmp_path / "tokens"))
    assert line in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="allowed is a readable file"):
        read_tokens(str(tmp_path / "none"))


def test_beyond_loopback_with_tokens() -> None:
    settings = parse_settings({"server": {"host": "0.0.0.0", "token_file": "tokens"}}, {}, {})
    assert settings.server.token_file == "tokens"


def test_tokens_and_no_tokens_contradict_each_other() -> None:
    with pytest.raises(Misconfigured, match=r"allowed only without server\.token_file"):
        parse_settings({"server": {"allow_unauthenticated": True, "token_file": "tokens"}}, {}, {})
