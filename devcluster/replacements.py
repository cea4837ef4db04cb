"""Move devcluster/go/kubernetes to another Kubernetes: `python -m devcluster.replacements v1.36.3`.

k8s.io/kubernetes requires the modules it publishes from its own tree at v0.0.0, which exist nowhere; whoever requires
it has to replace each with the published version. The list changes from version to version.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from devcluster import recipes, toolchain
from devcluster.places import DevclusterError


def replacements(upstream: str, version: str) -> str:
    """Return the replace block for the text of Kubernetes' go.mod and its version."""
    published = re.sub(r"^v1\.", "v0.", version)
    unpublished = re.findall(r"^\s+(k8s\.io/\S+) v0\.0\.0$", upstream, re.MULTILINE)
    return "replace (\n" + "".join(f"\t{name} => {name} {published}\n" for name in unpublished) + ")\n"


def moved(manifest: str, upstream: str, version: str) -> str:
    """Return our go.mod for another Kubernetes; `go mod tidy` has to follow."""
    manifest = re.sub(r"^(\s+k8s\.io/kubernetes) v\S+", rf"\1 {version}", manifest, flags=re.MULTILINE)
    return re.sub(r"^replace \(\n.*?^\)\n", replacements(upstream, version), manifest, flags=re.MULTILINE | re.DOTALL)


def main(version: str) -> None:
    """Rewrite go.mod and go.sum."""
    go = toolchain.find(print)
    directory = recipes.KUBERNETES.directory
    told = subprocess.run(
        [go, "mod", "download", "-json", f"k8s.io/kubernetes@{version}"],
        cwd=directory,
        env=toolchain.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if told.returncode != 0:
        raise DevclusterError(f"k8s.io/kubernetes@{version} cannot be fetched: {told.stdout or told.stderr}")
    manifest = directory / "go.mod"
    upstream = Path(json.loads(told.stdout)["GoMod"]).read_text()
    manifest.write_text(moved(manifest.read_text(), upstream, version))
    subprocess.run([go, "mod", "tidy"], cwd=directory, env=toolchain.environment(), check=True)


if __name__ == "__main__":
    main(sys.argv[1])
