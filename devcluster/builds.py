"""Build the binaries of the cluster once and keep them in the cache.

A binary appears under its final name only when it is whole, and one process builds at a time, so that two that need
the same one build it once. A warm cache is used without Go and without a network.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from devcluster import manifests, recipes, toolchain
from devcluster.places import DevclusterError, build_root, locked
from devcluster.progress import Progress
from devcluster.recipes import Module, Recipe

_PROGRAMS: Final[dict[str | None, tuple[Recipe, ...]]] = {None: (), "api": recipes.API, "full": recipes.FULL}
_TEKTON_FILES: Final = (manifests.CRDS, manifests.SETTINGS)


def directory(module: Module) -> Path:
    """Return where the binaries of a module of ours are kept."""
    return build_root() / f"{module.name}-{module.version}-{recipes.fingerprint(module)}"


def assets() -> Path | None:
    """Return the directory of ready binaries that the user named, as other Kubernetes test kits know it."""
    named = os.environ.get("KUBEBUILDER_ASSETS")
    return Path(named) if named else None


def path_of(recipe: Recipe) -> Path:
    """Return where a binary is, whether it was built yet or not."""
    ready = assets()
    if ready is not None and (ready / recipe.binary).is_file():
        return ready / recipe.binary
    return directory(recipe.module) / recipe.binary


def kubectl() -> Path:
    """Return the kubectl to use: that of KUBEBUILDER_ASSETS, of the machine, or ours."""
    ready = assets()
    if ready is not None and (ready / "kubectl").is_file():
        return ready / "kubectl"
    found = shutil.which("kubectl")
    return Path(found) if found else path_of(recipes.KUBECTL)


def prepared(name: str) -> Path:
    """Return where prepared objects of Tekton or KWOK are kept; another way of preparing them is another place."""
    module = recipes.KUBERNETES if name == manifests.STAGES else recipes.TEKTON
    preparation = hashlib.sha256(Path(manifests.__file__).read_bytes()).hexdigest()[:10]
    return directory(module) / f"files-{preparation}" / name


def ensure(level: str | None, *, tekton_crds: bool, say: Callable[[str], None]) -> None:
    """Build and prepare whatever a level still lacks; without a level only Tekton's CRDs.

    Raises:
        DevclusterError: a build fails, or there is neither Go nor a way to install it.
    """
    wanted = [*_PROGRAMS[level]]
    if kubectl() == path_of(recipes.KUBECTL):
        wanted.append(recipes.KUBECTL)
    files = [prepared(name) for name in _TEKTON_FILES] if tekton_crds or level == "full" else []
    files += [prepared(manifests.STAGES)] if level == "full" else []
    if not _missing(wanted) and all(file.is_file() for file in files):
        return
    with locked(build_root() / ".lock"):
        # Whoever held the lock before may have built just this.
        missing = _missing(wanted)
        absent = [file for file in files if not file.is_file()]
        if missing or absent:
            go = toolchain.find(say)
            _build(go, missing, say)
            _prepare(go, absent, say)


def _missing(wanted: Iterable[Recipe]) -> list[Recipe]:
    return [recipe for recipe in wanted if not path_of(recipe).is_file()]


def _build(go: str, missing: list[Recipe], say: Callable[[str], None]) -> None:
    if missing:
        say(f"building {len(missing)} of the cluster's programs, once for this machine: {_estimate(missing)}")
    for number, recipe in enumerate(missing, start=1):
        title = f"[{number}/{len(missing)}] {recipe.binary}"
        with Progress(title, recipe.seconds, say) as progress:
            _build_one(go, recipe, progress)


def _estimate(missing: list[Recipe]) -> str:
    seconds = sum(recipe.seconds for recipe in missing)
    return f"about {max(1, round(seconds / 60))} min on two cores" if seconds >= 60 else f"about {seconds} s"


def _build_one(go: str, recipe: Recipe, progress: Progress) -> None:
    target = path_of(recipe)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=target.parent) as scratch:
        made = Path(scratch) / recipe.binary
        command = [go, "build", "-v", "-trimpath", "-mod=readonly", "-ldflags", recipes.linker_flags(recipe.module)]
        # The linker drops debugging information anyway; not making it saves an eighth of the time.
        command.append("-gcflags=all=-dwarf=false")
        with subprocess.Popen(
            [*command, "-o", str(made), recipe.package],
            cwd=recipe.module.directory,
            env=toolchain.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as running:
            told = progress.follow(running)
        if running.returncode != 0 or not made.is_file():
            raise DevclusterError(f"building {recipe.binary} failed: {' | '.join(told[-5:]) or 'no message'}")
        made.replace(target)


def _prepare(go: str, absent: list[Path], say: Callable[[str], None]) -> None:
    for module, requirement, names, writer in (
        (recipes.TEKTON, recipes.TEKTON.requirement, _TEKTON_FILES, manifests.write_tekton),
        (recipes.KUBERNETES, "sigs.k8s.io/kwok", (manifests.STAGES,), manifests.write_kwok),
    ):
        target = prepared(names[0]).parent
        if not any(file.parent == target for file in absent):
            continue
        target.mkdir(parents=True, exist_ok=True)
        with (
            Progress(f"the files of {requirement}", 5, say),
            tempfile.TemporaryDirectory(prefix=".files-", dir=target) as scratch,
        ):
            writer(_module_files(go, module, requirement), Path(scratch))
            for name in names:
                (Path(scratch) / name).replace(target / name)


def _module_files(go: str, module: Module, requirement: str) -> Path:
    """Return the unpacked files of a required Go module, fetched and checked against go.sum if need be."""
    done = subprocess.run(
        [go, "mod", "download", "-json", requirement],
        cwd=module.directory,
        env=toolchain.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    told = json.loads(done.stdout or "{}")
    if done.returncode != 0 or not told.get("Dir"):
        raise DevclusterError(f"fetching {requirement} failed: {told.get('Error') or done.stderr.strip()}")
    return Path(told["Dir"])
