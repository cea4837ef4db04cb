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
