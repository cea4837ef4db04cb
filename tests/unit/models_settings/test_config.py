"""Fetching the file, the environment and the secret file."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.errors import Misconfigured
from tasks.config import load, load_or_exit


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_argument_wins_over_the_variable(tmp_path: Path) -> None:
    first = write(tmp_path / "first.yaml", "redis: {prefix: first}")
    second = write(tmp_path / "second.yaml", "redis: {prefix: second}")
    assert load(first, environ={"WFE_CONFIG": second}).redis.prefix == "first"
    assert load(environ={"WFE_CONFIG": second}).redis.prefix == "second"
    assert load(environ={}).redis.prefix == "wfe"


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_an_empty_file_is_all_defaults(tmp_path: Path, text: str) -> None:
    assert load(write(tmp_path / "empty.yaml", text), environ={}) == load(environ={})


def test_secret_from_a_file(tmp_path: Path) -> None:
    secret = write(tmp_path / "redis.yaml", "username: app\npassword: hunter2\n")
    settings = load(environ={"WFE_REDIS_SECRET_FILE": secret})
    assert settings.redis.connection_url() == "redis://app:hunter2@127.0.0.1:6379/0"


def test_secret_from_a_mounted_directory(tmp_path: Path) -> None:
    write(tmp_path / "password", "hunter2\n")
    (tmp_path / "..data").mkdir()
    settings = load(environ={"WFE_REDIS_SECRET_FILE": str(tmp_path)})
    assert settings.redis.connection_url() == "redis://:hunter2@127.0.0.1:6379/0"


@pytest.mark.parametrize("text", ["password: 5", "hunter2", "pasword: hunter2", "[hunter2]", "", "password: 'a\n\nb'"])
def test_a_wrong_secret_file_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    secret = write(tmp_path / "redis.yaml", text)
    with pytest.raises(Misconfigured, match=r"redis\.") as refusal:
        load(environ={"WFE_REDIS_SECRET_FILE": secret})
    assert "hunter2" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("name", "text"), [("tab.yaml", "a:\n\t- b"), ("open.yaml", "redis: {url: hunter2")])
def test_broken_yaml_is_one_line_with_the_place(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(Misconfigured, match=r"--config=.*breaks off at line \d") as refusal:
        load(write(tmp_path / name, text), environ={})
    assert "\n" not in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


def test_a_missing_or_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"WFE_CONFIG=.*No such file"):
        load(environ={"WFE_CONFIG": str(tmp_path / "absent.yaml")})
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe4")
    with pytest.raises(Misconfigured, match="not UTF-8"):
        load(str(tmp_path / "latin.yaml"), environ={})


def test_an_entry_point_exits_with_2_and_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        load_or_exit(write(tmp_path / "wrong.yaml", "audit: {batch_size: 501}"))
    assert end.value.code == 2
    assert capsys.readouterr().err == "misconfigured: audit.batch_size=501: allowed is a whole number from 1 to 500\n"


UNREADABLE = [
    "execution: {namespace: 2024-13-45}",
    "backoff: {multiplier: " + "9" * 5000 + "}",
    "backoff: {multiplier: 1" + ":1" * 400 + ".5}",
    "execution: {namespace: !!bool x}",
    "[" * 1000,
]


@pytest.mark.parametrize("text", UNREADABLE, ids=["date", "digits", "sexagesimal", "bool", "brackets"])
def test_what_yaml_cannot_make_a_value_of_is_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(Misconfigured, match=r"--config=.*: allowed is YAML; a value in it cannot be read") as refusal:
        load(write(tmp_path / "odd.yaml", text), environ={})
    assert "\n" not in str(refusal.value)


def test_a_number_too_large_is_out_of_bounds(tmp_path: Path) -> None:
    for number in ("9" * 400, "0x" + "f" * 5000):
        with pytest.raises(
            Misconfigured, match=r"^backoff\.multiplier=.{1,80}: allowed is a number from 1 to"
        ) as refusal:
            load(write(tmp_path / "large.yaml", f"backoff: {{multiplier: {number}}}"), environ={})
        assert "\n" not in str(refusal.value)
    with pytest.raises(Misconfigured, match=r"^backoff\.base_cooldown=9+…: allowed is a duration"):
        load(environ={"WFE_BACKOFF_BASE_COOLDOWN": "9" * 400 + "h"})


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        ("redis:\n  prefix: a\n  prefix: b\n", "prefix", 3),
        ("redis: {}\naudit: {}\nredis: {}\n", "redis", 3),
        ('? {a: 1}\n: 1\n"x\\ny": 1\n"x\\ny": 1\n', "x\ny", 4),
    ],
)
def test_a_key_given_twice_is_refused_by_name(tmp_path: Path, text: str, key: str, line: int) -> None:
    with pytest.raises(Misconfigured) as refusal:
        load(write(tmp_path / "twice.yaml", text), environ={})
    assert str(refusal.value).endswith(f"twice.yaml: key {key!r} is given twice, again at line {line}")


def test_what_a_merge_brings_along_may_be_said_anew(tmp_path: Path) -> None:
    text = "redis:\n  <<: {prefix: a}\n  prefix: b\n"
    assert load(write(tmp_path / "merge.yaml", text), environ={}).redis.prefix == "b"


def test_an_odd_value_ends_an_entry_point_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        load_or_exit(write(tmp_path / "odd.yaml", UNREADABLE[0]))
    assert end.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
