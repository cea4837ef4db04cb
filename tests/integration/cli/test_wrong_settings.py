"""A wrong value stops every process before it connects anywhere: exit 2, one line: key, value, what is allowed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CELERY = ("-m", "celery", "-A", "tasks")
PROCESSES = {
    "watcher": ("-m", "watcher"),
    "worker": (*CELERY, "worker"),
    "beat": (*CELERY, "beat"),
    "flower": (*CELERY, "flower"),
    "wfe": ("-c", "from cli.main import main; main()", "config", "show"),
}


def start(words: tuple[str, ...], folder: Path, **variables: str) -> tuple[int, str]:
    """Run a process to its end; return its code and what it said."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("WFE_", "DATASTORAGE_"))}
    done = subprocess.run(
        [sys.executable, *words],
        env={**plain, **variables},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, (done.stderr + done.stdout).strip()


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize(
    ("variable", "value", "key", "allowed"),
    [
        ("WFE_AUDIT_BATCH_SIZE", "501", "audit.batch_size=501", "a whole number from 1 to 500"),
        ("WFE_EXECUTION_COOLDOWN", "5m", "WFE_EXECUTION_COOLDOWN=5m", "did you mean WFE_EXECUTION_COOLDOWN_PERIOD?"),
    ],
    ids=["value", "key"],
)
def test_part_of_the_executor(tmp_path: Path, process: str, variable: str, value: str, key: str, allowed: str) -> None:
    code, said = start(PROCESSES[process], tmp_path, **{variable: value})
    assert code == 2, said
    assert "\n" not in said
    assert key in said
    assert allowed in said


@pytest.mark.parametrize("process", ["watcher", "worker", "beat"])
def test_config_file_on_the_command_line_wins(tmp_path: Path, process: str) -> None:
    command, absent = PROCESSES[process], str(tmp_path / "absent.yaml")
    (tmp_path / "given.yaml").write_text("audit: {batch_size: 501}\n")
    code, said = start((*command, "--config", "given.yaml"), tmp_path, WFE_CONFIG=absent)
    assert (code, said.count("\n")) == (2, 0), said
    assert "audit.batch_size=501" in said
    code, said = start((*command, f"--config={absent}"), tmp_path, WFE_CONFIG="given.yaml")
    assert (code, said.count("\n")) == (2, 0), said
    assert f"--config={absent}: allowed is a readable YAML file" in said
    code, said = start((*command, "--help"), tmp_path)
    assert (code, "--config FILE" in said) == (0, True), said


@pytest.mark.parametrize(
    ("variable", "value", "key", "allowed"),
    [
        ("DATASTORAGE_SERVER_PORT", "99999", "server.port=99999", "a whole number from 0 to 65535"),
        ("DATASTORAGE_SERVER_PORTS", "1", "DATASTORAGE_SERVER_PORTS=1", "did you mean DATASTORAGE_SERVER_PORT?"),
    ],
    ids=["value", "key"],
)
def test_datastorage(tmp_path: Path, variable: str, value: str, key: str, allowed: str) -> None:
    code, said = start(("-m", "datastorage", "serve"), tmp_path, **{variable: value})
    assert code == 2, said
    assert "\n" not in said
    assert key in said
    assert allowed in said
