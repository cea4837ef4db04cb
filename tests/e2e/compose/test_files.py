"""The files of the container stack, without an engine: settings all reachable, secrets and kubeconfig as promised."""

from __future__ import annotations

import base64
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from datastorage.callers import Right
from datastorage.keys import read_public_keys, read_signing_key
from datastorage.token_file import TokenFile
from models.settings import known_keys
from tests.e2e.compose.checkout import ROOT

COMPOSE = ROOT / "compose"
STACK: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
OURS = ("migrate", "datastorage", "watcher", "worker", "beat", "flower")


def kubeconfig(server: str = "https://10.0.0.7:6443", **user: str) -> dict[str, Any]:
    """Return a kubeconfig of two contexts, the second of them current."""
    return {
        "clusters": [
            {"name": "other", "cluster": {"server": "https://127.0.0.1:1"}},
            {"name": "c", "cluster": {"server": server}},
        ],
        "users": [{"name": "other", "user": {"token": "stranger"}}, {"name": "u", "user": user}],
        "contexts": [
            {"name": "first", "context": {"cluster": "other", "user": "other"}},
            {"name": "second", "context": {"cluster": "c", "user": "u", "namespace": "apps"}},
        ],
        "current-context": "second",
    }


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Give a folder like compose/, with nothing made yet."""
    shutil.copy(COMPOSE / "prepare.py", tmp_path)
    return tmp_path


def prepare(place: Path, config: dict[str, Any], **variables: str) -> subprocess.CompletedProcess[str]:
    file = place / "config"
    file.write_text(yaml.safe_dump(config))
    without_pip = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    return subprocess.run(
        [sys.executable, place / "prepare.py", "--kubeconfig", file],
        env={**without_pip, "PIP_CONFIG_FILE": os.devnull, **variables}, capture_output=True, text=True,
    )  # fmt: skip


def test_every_setting_of_the_executor_can_be_given_and_is_explained() -> None:
    settings, example = STACK["x-settings"], (COMPOSE / ".env.example").read_text()
    variables = {key.variable for key in known_keys()}
    secret = {"WFE_REDIS_USERNAME", "WFE_REDIS_PASSWORD"}
    assert set(settings) == variables - secret
    explained = set(re.findall(r"^#(\w+)=", example, re.MULTILINE))
    assert {name for name, value in settings.items() if value is None} <= explained


def test_every_variable_of_the_stack_is_explained() -> None:
    named = set(re.findall(r"(?<!\$)\$\{(\w+)", (COMPOSE / "compose.yaml").read_text()))
    explained = set(re.findall(r"^#(\w+)=", (COMPOSE / ".env.example").read_text(), re.MULTILINE))
    assert named - {"KUBECONFIG_SUM", "AUDIT_SUM"} <= explained


def test_every_part_can_be_scaled_and_is_probed() -> None:
    for name, service in STACK["services"].items():
        assert "container_name" not in service
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        assert "healthcheck" in service or name == "migrate"
    assert "ports" not in STACK["services"]["worker"]
    assert all(STACK["services"][name]["read_only"] for name in OURS)


def test_passwords_are_made_once_and_closed_to_others(place: Path) -> None:
    assert prepare(place, kubeconfig()).returncode == 0
    made = place / "secrets"
    before = {name: (made / name).read_text() for name in ("redis_password", "postgres_password", "flower_password")}
    assert len(set(before.values())) == 3
    assert all(len(text.strip()) >= 32 for text in before.values())
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in made.iterdir()} == {0o444}
    assert prepare(place, kubeconfig("https://10.0.0.8:6443")).returncode == 0
    assert {name: (made / name).read_text() for name in before} == before
    assert "10.0.0.8" in (made / "kubeconfig").read_text()


def test_tokens_and_key_are_made_once_and_a_removed_one_is_replaced(place: Path) -> None:
    assert prepare(place, kubeconfig()).returncode == 0
    made = place / "secrets"
    write, read = ((made / f"audit_{right}_token").read_text().strip() for right in ("write", "read"))
    assert len({write, read}) == 2
    callers = TokenFile(str(made / "audit_tokens"))
    assert (callers.admit(write, Right.WRITE), callers.admit(read, Right.READ)) == ("executor", "wfe")
    assert callers.remembered(write, Right.READ) is callers.remembered(read, Right.WRITE) is None
    assert (callers.remembered(write, Right.HOLD), callers.remembered(read, Right.HOLD)) == (None, "wfe")
    first = read_signing_key("key", str(made / "audit_key"))
    before = {file.name: file.read_text() for file in made.iterdir()}
    done = prepare(place, kubeconfig())
    assert {file.name: file.read_text() for file in made.iterdir()} == before
    (made / "audit_key").unlink()
    (made / "audit_read_token").unlink()
    done = prepare(place, kubeconfig())
    assert done.returncode == 0
    second = read_signing_key("key", str(made / "audit_key"))
    trusted = read_public_keys("keys", str(made / "audit_keys"))
    for key in (first, second):
        assert trusted.fault(key.key_id, b"message", key.sign(b"message")) == ""
    assert first.key_id != second.key_id
    assert TokenFile(str(made / "audit_tokens")).remembered(read, Right.READ) is None
    assert not any(text.strip() in done.stdout + done.stderr for text in before.values() if text.strip())


def test_only_the_current_context_goes_along_with_its_files_embedded(place: Path) -> None:
    (place / "ca.pem").write_text("authority")
    (place / "token").write_text("mine\n")
    config = kubeconfig(tokenFile="token")
    config["clusters"][1]["cluster"]["certificate-authority"] = "ca.pem"
    assert prepare(place, config).returncode == 0
    text = (place / "secrets" / "kubeconfig").read_text()
    made = yaml.safe_load(text)
    assert made["users"] == [{"name": "user", "user": {"token": "mine"}}]
    authority = made["clusters"][0]["cluster"]["certificate-authority-data"]
    assert base64.b64decode(authority) == b"authority"
    assert made["contexts"][0]["context"]["namespace"] == "apps"
    assert "stranger" not in text


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (kubeconfig("https://127.0.0.1:6443"), "loopback"),
        (kubeconfig("https://localhost:6443"), "loopback"),
        (kubeconfig("https://[::1]:6443"), "loopback"),
        (kubeconfig(**{"client-certificate": "gone.pem"}), "gone.pem"),
        (kubeconfig(exec="aws"), "by a program"),
        ({"clusters": []}, "no kubeconfig"),
    ],
)
def test_a_kubeconfig_that_cannot_work_is_refused_in_one_line(place: Path, config: dict[str, Any], says: str) -> None:
    done = prepare(place, config)
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_build_gets_the_index_and_the_authority_of_this_machine(place: Path) -> None:
    (place / "trusted.pem").write_text("authority")
    given = {
        "PIP_INDEX_URL": "https://index.example/simple",
        "PIP_CERT": str(place / "trusted.pem"),
        "PIP_FIND_LINKS": "/x",
    }
    assert prepare(place, kubeconfig(), **given).returncode == 0
    made = (place / "secrets" / "pip.conf").read_text()
    assert set(made.splitlines()) == {
        "[global]",
        "index-url = https://index.example/simple",
        "cert = /run/secrets/ca.crt",
    }
    assert (place / "secrets" / "ca.crt").read_text() == "authority"
    assert prepare(place, kubeconfig()).returncode == 0
    assert (place / "secrets" / "pip.conf").read_text() == "[global]\n"


def test_the_probe_tells_a_live_connection_from_none() -> None:
    def healthy(*wanted: str) -> int:
        return subprocess.run([sys.executable, COMPOSE / "healthy.py", *wanted], capture_output=True).returncode

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert healthy(str(port)) == 1
        with socket.create_connection(("127.0.0.1", port)):
            assert healthy(str(port)) == 0
            assert healthy(str(port), "http://127.0.0.1:1/") == 1
    assert healthy() == 2
