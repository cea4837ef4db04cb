"""The import rules bite: a copy of the rooms passes, and each planted import breaks its rule."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
RULES = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]

# Rule -> room and import that break it.
PLANTS = {
    "rooms": ("beat_schedule", "import tasks"),
    "datastorage-alone": ("datastorage", "import tasks"),
    "datastorage-by-http": ("tasks", "import datastorage"),
    "devcluster-alone": ("devcluster", "import models"),
    "devcluster-not-shipped": ("watcher", "import devcluster"),
    "models-pure": ("models", "import redis"),
    "beat-names-only": ("beat_schedule", "import httpx"),
    "kubernetes-once": ("watcher", "from kubernetes import client"),
    "redis-once": ("models", "import redis"),
    "sqlalchemy-once": ("tasks", "import sqlalchemy"),
}


@pytest.fixture
def rooms(tmp_path: Path) -> Path:
    """Copy the Python of every room, and the rules, to where a test may spoil them."""
    for room in RULES["root_packages"]:
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").touch()
        for source in (ROOT / room).rglob("*.py"):
            target = tmp_path / source.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    shutil.copyfile(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    return tmp_path


def broken_rules(rooms: Path) -> set[str]:
    """Return the ids of the rules that import-linter reports as broken."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    result = subprocess.run(command, cwd=rooms, check=False, capture_output=True, text=True)
    verdicts = dict(re.findall(r"^(\S.*?)\s(KEPT|BROKEN)\b", result.stdout, re.MULTILINE))
    ids = {rule["name"]: rule["id"] for rule in RULES["contracts"]}
    assert verdicts.keys() == ids.keys(), result.stdout + result.stderr
    broken = {ids[name] for name, verdict in verdicts.items() if verdict == "BROKEN"}
    assert (result.returncode == 0) is (not broken)
    return broken


def test_the_rooms_keep_the_rules(rooms: Path) -> None:
    assert broken_rules(rooms) == set()


def test_every_rule_has_a_plant() -> None:
    assert PLANTS.keys() == {rule["id"] for rule in RULES["contracts"]}


def test_each_planted_import_breaks_its_rule(rooms: Path) -> None:
    for rule, (room, planted) in PLANTS.items():
        (rooms / room / f"planted_for_{rule.replace('-', '_')}.py").write_text(f"{planted}\n", encoding="utf-8")
    assert broken_rules(rooms) == PLANTS.keys()


def test_redis_in_models_breaks_its_two_rules_and_no_other(rooms: Path) -> None:
    (rooms / "models" / "planted.py").write_text("import redis\n", encoding="utf-8")
    assert broken_rules(rooms) == {"models-pure", "redis-once"}


def test_yaml_has_one_importer_in_models(rooms: Path) -> None:
    (rooms / "models" / "planted.py").write_text("import yaml\n", encoding="utf-8")
    assert broken_rules(rooms) == {"models-pure"}
