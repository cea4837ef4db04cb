"""Redis is found, or a clear line says what to install."""

from __future__ import annotations

import pytest

from cli.errors import CommandError
from cli.local import redis_server


def test_a_server_on_path_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: "/bin/valkey-server" if name == "valkey-server" else None)
    assert redis_server.find_or_install(lambda _: None) == "/bin/valkey-server"


@pytest.mark.parametrize(
    ("manager", "advice"),
    [("apt-get", "apt-get install redis-server"), ("dnf", "dnf install redis"), ("", "your package manager")],
)
def test_without_server_and_without_rights_one_line_says_what_to_do(
    manager: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}" if name == manager else None)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    said: list[str] = []
    with pytest.raises(CommandError, match=f"install it with {advice}$"):
        redis_server.find_or_install(said.append)
    assert bool(said) is bool(manager)


def test_what_the_package_manager_brought_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"apt-get": "/bin/apt-get"}
    ran: list[list[str]] = []

    def install(command: list[str], **_: object) -> None:
        ran.append(command)
        there["redis-server"] = "/bin/redis-server"

    monkeypatch.setattr("shutil.which", there.get)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("subprocess.run", install)
    assert redis_server.find_or_install(lambda _: None) == "/bin/redis-server"
    assert [command[2:4] for command in ran] == [["apt-get", "update"], ["apt-get", "install"]]
