"""List what is built: two Go modules of ours, their commands, and how long each usually takes.

Seconds are those of a cold build on two cores, in the order of the list; a command built alone takes longer, because
the packages it shares with those before it have to be compiled first.
"""

from __future__ import annotations

import hashlib
import platform
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent

_STAMP: Final = "k8s.io/component-base/version"


@dataclass(frozen=True, slots=True)
class Module:
    """A go.mod of ours and the version of its main requirement."""

    name: str
    requirement: str

    @property
    def directory(self) -> Path:
        """Return the directory of go.mod."""
        return HERE / "go" / self.name

    @property
    def manifest(self) -> str:
        """Return the text of go.mod."""
        return (self.directory / "go.mod").read_text()

    @property
    def version(self) -> str:
        """Return the required version of the main requirement, with its v."""
        found = re.search(rf"^\s*{re.escape(self.requirement)} (v\S+)", self.manifest, re.MULTILINE)
        if found is None:
            raise ValueError(f"{self.directory / 'go.mod'} does not require {self.requirement}")
        return found[1]

    @property
    def go_version(self) -> tuple[int, ...]:
        """Return the oldest Go that may build it."""
        found = re.search(r"^go ([\d.]+)", self.manifest, re.MULTILINE)
        return tuple(int(part) for part in found[1].split(".")) if found else ()


@dataclass(frozen=True, slots=True)
class Recipe:
    """A command: the file name it gets, the package it is built from, seconds a cold build takes."""

    binary: str
    module: Module
    package: str
    seconds: int


KUBERNETES: Final = Module("kubernetes", "k8s.io/kubernetes")
TEKTON: Final = Module("tekton", "github.com/tektoncd/pipeline")

APISERVER: Final = Recipe("kube-apiserver", KUBERNETES, "k8s.io/kubernetes/cmd/kube-apiserver", 170)
ETCD: Final = Recipe("etcd", KUBERNETES, "go.etcd.io/etcd/server/v3", 10)
KUBECTL: Final = Recipe("kubectl", KUBERNETES, "k8s.io/kubernetes/cmd/kubectl", 20)
CONTROLLER_MANAGER: Final = Recipe(
    "kube-controller-manager", KUBERNETES, "k8s.io/kubernetes/cmd/kube-controller-manager", 45
)
SCHEDULER: Final = Recipe("kube-scheduler", KUBERNETES, "k8s.io/kubernetes/cmd/kube-scheduler", 10)
KWOK: Final = Recipe("kwok", KUBERNETES, "sigs.k8s.io/kwok/cmd/kwok", 55)
TEKTON_CONTROLLER: Final = Recipe("tekton-controller", TEKTON, "./controller", 90)
TEKTON_RESOLVERS: Final = Recipe("tekton-resolvers", TEKTON, "./resolvers", 15)
REGISTRY: Final = Recipe("registry", TEKTON, "github.com/google/go-containerregistry/cmd/registry", 2)

API: Final = (APISERVER, ETCD)
FULL: Final = (*API, CONTROLLER_MANAGER, SCHEDULER, KWOK, TEKTON_CONTROLLER, TEKTON_RESOLVERS, REGISTRY)


@cache
def fingerprint(module: Module) -> str:
    """Return 10 hex digits that change with anything a build of the module depends on."""
    digest = hashlib.sha256(f"{platform.machine()} {linker_flags(module)}".encode())
    for path in sorted(path for path in module.directory.rglob("*") if path.is_file()):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:10]


def linker_flags(module: Module) -> str:
    """Return -ldflags: no symbols, and the version that Kubernetes' binaries report (Tekton checks it)."""
    if module is not KUBERNETES:
        return "-s -w"
    major, minor, _ = KUBERNETES.version.lstrip("v").split(".", 2)
    stamps = {"gitVersion": KUBERNETES.version, "gitMajor": major, "gitMinor": minor}
    return "-s -w " + " ".join(f"-X {_STAMP}.{name}={value}" for name, value in stamps.items())
