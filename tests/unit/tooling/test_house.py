"""House rules that no linter knows."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.policy import require

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ROOMS: list[str] = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))


def tracked_files() -> list[Path]:
    require((ROOT / ".git").exists(), "not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("room", [*ROOMS, "tests"])
def test_no_dependency_ships_a_name_of_ours(room: str) -> None:
    assert set(packages_distributions().get(room, [])) <= {PROJECT["project"]["name"]}


def test_never_uploaded() -> None:
    assert "Private :: Do Not Upload" in PROJECT["project"]["classifiers"]


def test_the_linters_know_every_room() -> None:
    assert PROJECT["tool"]["importlinter"]["root_packages"] == ROOMS
    assert PROJECT["tool"]["mypy"]["files"] == [*ROOMS, "compose", "tests"]


def test_no_committed_file_names_a_folder_of_one_machine() -> None:
    homes = {rf"/{'home'}/[a-z]\w*/", rf"/{'Users'}/\w+/", rf"(?<![\w.}}-])/{'root'}/"}
    machine = {re.escape(f"{path}/") for path in (Path.home(), ROOT) if len(path.parts) > 1}
    pattern = re.compile("|".join(sorted(homes | machine)))
    found = []
    for path in tracked_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in pattern.finditer(text)]
    assert not found


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_requirements_are_pinned_by_hash_and_name_no_address(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "://" not in text
    pins = re.split(r"\n(?=[a-z0-9A-Z])", text)
    unpinned = [
        pin for pin in pins if not pin.startswith("#") and not re.search(r"==\S+.*--hash=sha256:", pin, re.DOTALL)
    ]
    assert not unpinned


@pytest.mark.parametrize(("file", "extras"), [("runtime", []), ("dev", ["dev"])])
def test_requirements_hold_every_dependency(file: str, extras: list[str]) -> None:
    pins = (ROOT / f"requirements/{file}.txt").read_text(encoding="utf-8")
    pinned = {normalised(name) for name in re.findall(r"^([A-Za-z0-9._-]+)(?:\[.*\])?==", pins, re.MULTILINE)}
    project = PROJECT["project"]
    wanted = [*project["dependencies"], *(item for extra in extras for item in project["optional-dependencies"][extra])]
    assert {normalised(re.match(r"[A-Za-z0-9._-]+", item)[0]) for item in wanted} <= pinned  # type: ignore[index]


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_the_make_targets_that_texts_name_exist(name: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    path = ROOT / name
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    assert set(re.findall(r"(?:^|`)\$? ?make ([a-z-]+)", text, re.MULTILINE)) <= targets


def test_the_first_target_is_help_and_every_target_is_explained() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = set(re.findall(r"^\.PHONY: ([a-z-]+)$", makefile, re.MULTILINE))
    assert phony == set(re.findall(r"^([a-z-]+):.*## \S", makefile, re.MULTILINE))
    assert {"help", "setup", "check", "test", "demo", "up", "down", "bench", "compose-up", "compose-down"} <= phony


def test_only_datastorage_opens_a_database() -> None:
    opening = {"create_engine", "create_async_engine", "engine_from_config"}
    openers = []
    for room in (room for room in ROOMS if room != "datastorage"):
        for path in (ROOT / room).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            if not any(name in text for name in opening):
                continue  # parsing all of them takes a second
            nodes = list(ast.walk(ast.parse(text)))
            names = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
            names |= {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
            if names & opening:
                openers.append(str(path.relative_to(ROOT)))
    assert not openers
