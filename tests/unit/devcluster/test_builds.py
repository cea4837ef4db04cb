"""The cache of built programs: whole files only, built once, used without Go. A stand-in plays the Go toolchain."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from devcluster import builds, manifests, recipes, toolchain
from devcluster.places import Busy, DevclusterError, locked

GO = """#!/bin/sh
case "$1" in
version) echo "go version go1.99.0 linux/amd64" ;;
build)
  while [ "$1" != -o ]; do shift; done
  echo "$3" >> "$BUILT"
  echo half > "$2"
  test -z "$FAIL" || { echo "$FAIL" >&2; exit 1; }
  sleep 0.2; echo whole >> "$2" ;;
esac
"""


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a stand-in for Go and a kubectl on PATH and give the file that lists what was built."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("go", GO), ("kubectl", "#!/bin/sh\n")):
        (programs / name).write_text(text)
        (programs / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("WFE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("BUILT", str(tmp_path / "built"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    return tmp_path / "built"


def quiet(line: str) -> None:
    """Say nothing."""


def test_a_warm_cache_needs_no_go(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    builds.ensure("api", tekton_crds=False, say=said.append)
    assert built.read_text().split() == [recipe.package for recipe in recipes.API]
    assert "building 2 of the cluster's programs" in said[0]
    (Path(os.environ["PATH"].split(":")[0]) / "go").unlink()
    monkeypatch.setattr(toolchain, "find", lambda say: pytest.fail("Go was asked for"))
    builds.ensure("api", tekton_crds=False, say=quiet)


def test_two_processes_build_once(built: Path) -> None:
    program = "from devcluster import builds; builds.ensure('api', tekton_crds=False, say=print)"
    both = [subprocess.Popen([sys.executable, "-c", program], cwd=recipes.HERE.parent) for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    assert len(built.read_text().split()) == len(recipes.API)
    assert builds.path_of(recipes.ETCD).read_text() == "half\nwhole\n"


def test_a_failed_build_leaves_no_program_and_tells_why(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIL", "main.go:1: no such thing")
    with pytest.raises(DevclusterError, match=r"building kube-apiserver failed: main.go:1: no such thing"):
        builds.ensure("api", tekton_crds=False, say=quiet)
    assert not [path for path in builds.directory(recipes.KUBERNETES).rglob("*") if path.is_file()]


def test_kubectl_is_built_only_where_there_is_none(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert builds.kubectl() == builds.path_of(recipes.KUBECTL)
    monkeypatch.undo()
    assert builds.kubectl() != builds.path_of(recipes.KUBECTL)


def test_named_assets_come_first(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("etcd", "kube-apiserver", "kubectl"):
        (tmp_path / name).touch()
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    builds.ensure("api", tekton_crds=False, say=quiet)
    assert not built.exists()
    assert builds.kubectl() == tmp_path / "kubectl"


def test_another_way_of_preparing_is_another_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = builds.prepared(manifests.CRDS)
    (tmp_path / "manifests.py").write_text("changed")
    monkeypatch.setattr(manifests, "__file__", str(tmp_path / "manifests.py"))
    assert builds.prepared(manifests.CRDS) != before


def test_a_lock_is_for_one(tmp_path: Path) -> None:
    with locked(tmp_path / "lock"), pytest.raises(Busy), locked(tmp_path / "lock", wait=False):
        pytest.fail("two hold it")
    with locked(tmp_path / "lock", wait=False):
        pass
