"""The token file: what is refused, in one line that quotes no token, and how a changed one is taken over."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from datastorage.callers import Reason, Refused, Right
from datastorage.token_file import TokenFile, parse_tokens
from models.errors import Misconfigured

TOKEN = "t" * 20
OTHER = "o" * 20


class Seconds:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(f"executor write {TOKEN}\n")
    return path


def test_names_rights_and_tokens(tmp_path: Path) -> None:
    text = f"# comment\n\nexecutor write {TOKEN}\nwfe  read,write\t{TOKEN}2\nlegal read,hold {TOKEN}3\n"
    callers = parse_tokens("tokens", text.encode())
    assert {caller.name: caller.rights for caller in callers.values()} == {
        "executor": {Right.WRITE},
        "wfe": {Right.READ, Right.WRITE},
        "legal": {Right.READ, Right.HOLD},
    }
    assert TOKEN.encode() not in b"".join(callers)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "allowed is a file with at least one token"),
        (f"executor {TOKEN}", "line 1: allowed is NAME RIGHTS TOKEN, RIGHTS being one or more of read, write, hold"),
        (f"executor write more {TOKEN}", "line 1: allowed is NAME"),
        (f"\nexecutor delete {TOKEN}", "line 2: allowed is NAME"),
        (f"executor write,holds {TOKEN}", "line 1: allowed is NAME"),
        ("executor write short", "line 1: allowed is a token of its own of 20 characters or more"),
        (f"executor write {TOKEN}ä", "line 1: allowed is a token of its own of 20 characters or more from A-Z"),
        (f"a write {TOKEN}\nb read {TOKEN}", "line 2: allowed is a token of its own"),
    ],
)
def test_a_wrong_line_is_named_and_not_quoted(tmp_path: Path, text: str, line: str) -> None:
    (tmp_path / "tokens").write_text(text)
    with pytest.raises(Misconfigured) as caught:
        TokenFile(str(tmp_path / "tokens"))
    assert line in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_no_right_has_another_in_it(tmp_path: Path) -> None:
    lines = [f"{right} {right} {TOKEN}{right}" for right in Right]
    (tmp_path / "tokens").write_text("\n".join(lines))
    tokens = TokenFile(str(tmp_path / "tokens"))
    for holder in Right:
        token = f"{TOKEN}{holder}"
        assert {right for right in Right if tokens.remembered(token, right)} == {holder}
        assert tokens.admit(token, holder) == holder
        for right in set(Right) - {holder}:
            with pytest.raises(Refused, match=f"does not have the right to {right}"):
                tokens.admit(token, right)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="allowed is a readable file"):
        TokenFile(str(tmp_path / "none"))


def test_a_taken_token_is_refused_and_a_given_one_known_within_a_second(path: Path) -> None:
    seconds = Seconds()
    tokens = TokenFile(str(path), seconds)
    assert tokens.remembered(TOKEN, Right.WRITE) == "executor"
    before = path.stat()
    path.write_text(f"executor write {OTHER}\n")
    # Neither its length nor its time tells that it is another.
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    seconds.now += 1.0
    assert tokens.remembered(TOKEN, Right.WRITE) is None
    with pytest.raises(Refused) as refused:
        tokens.admit(TOKEN, Right.WRITE)
    assert refused.value.reason is Reason.UNKNOWN
    assert tokens.admit(OTHER, Right.WRITE) == "executor"


def test_a_right_is_taken_and_given_with_the_file(path: Path) -> None:
    seconds = Seconds()
    tokens = TokenFile(str(path), seconds)
    path.write_text(f"executor read {TOKEN}\n")
    seconds.now += 1.0
    with pytest.raises(Refused) as refused:
        tokens.admit(TOKEN, Right.WRITE)
    assert (refused.value.reason, refused.value.caller) == (Reason.FORBIDDEN, "executor")
    assert tokens.admit(TOKEN, Right.READ) == "executor"


@pytest.mark.parametrize(
    "broken", ["", "executor write short\n", f"executor write {OTHER}\nreader reed {TOKEN}2\n", None]
)
def test_a_broken_new_file_keeps_the_old_tokens_and_says_so(
    path: Path, broken: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    seconds = Seconds()
    tokens = TokenFile(str(path), seconds)
    if broken is None:
        path.unlink()
    else:
        path.write_text(broken)
    for _ in range(3):
        seconds.now += 1.0
        assert tokens.admit(TOKEN, Right.WRITE) == "executor"
        assert tokens.remembered(OTHER, Right.WRITE) is None
        assert not tokens.look()
    said = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in said] == ["the token file is broken; the old tokens hold"]
    assert str(path) in vars(said[0])["fields"]["fault"]
    path.write_text(f"executor write {OTHER}\n")
    seconds.now += 1.0
    assert tokens.look()
    assert tokens.admit(OTHER, Right.WRITE) == "executor"
    path.write_text(f"executor write {TOKEN}\n")
    seconds.now += 1.0
    assert tokens.admit(TOKEN, Right.WRITE) == "executor"


def test_an_old_file_that_comes_back_is_well_again(path: Path) -> None:
    seconds = Seconds()
    tokens = TokenFile(str(path), seconds)
    good = path.read_bytes()
    path.unlink()
    seconds.now += 1.0
    assert not tokens.look()
    path.write_bytes(good)
    seconds.now += 1.0
    assert tokens.look()
    assert tokens.admit(TOKEN, Right.WRITE) == "executor"


def test_the_file_is_looked_at_once_a_second_at_most(path: Path) -> None:
    seconds = Seconds()
    tokens = TokenFile(str(path), seconds)
    path.write_text(f"executor write {OTHER}\n")
    seconds.now += 0.9
    assert tokens.remembered(TOKEN, Right.WRITE) == "executor"
