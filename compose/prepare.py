"""Make the files that compose.yaml mounts: passwords, tokens, key once; kubeconfig and pip's settings at each start.

The directory is closed to other users of this machine (0700). The files in it are readable (0444), because a container
runs as a user that owns nothing here and sees the single file only.
"""

from __future__ import annotations

import argparse
import ast
import base64
import secrets
import subprocess
import sys
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

DIRECTORY = Path(__file__).parent / "secrets"
TOKENS = ("audit_write_token", "audit_read_token")
PASSWORDS = ("redis_password", "postgres_password", "flower_password")
# What decides where packages come from. Paths of this machine (find-links, cache-dir) mean nothing in a build.
_PIP_OPTIONS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries", "cert")
_CA_IN_BUILD = "/run/secrets/ca.crt"

Document = dict[str, Any]


class Unusable(Exception):
    """Say in one line what is wrong with what was found, and what to do."""


def main() -> int:
    """Make everything; exit code 2 says that something is not usable as it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True, help="the cluster, as this machine reaches it")
    parser.add_argument("--ca", type=Path, help="certificates that package downloads trust, unless pip names others")
    arguments = parser.parse_args()
    DIRECTORY.mkdir(mode=0o700, exist_ok=True)
    DIRECTORY.chmod(0o700)
    try:
        write("kubeconfig", yaml.safe_dump(flatten(arguments.kubeconfig)))
    except Unusable as wrong:
        sys.stderr.write(f"compose: {wrong}\n")
        return 2
    for name in (*PASSWORDS, *TOKENS):
        if not (DIRECTORY / name).exists():
            write(name, secrets.token_urlsafe(24) + "\n")
    rights = {"executor write": "audit_write_token", "wfe read,hold": "audit_read_token"}
    write("audit_tokens", "".join(f"{who} {(DIRECTORY / name).read_text()}" for who, name in rights.items()))
    make_key()
    options = pip_options(pip_configuration())
    authority = Path(options["cert"]) if "cert" in options else arguments.ca
    trusted = authority.read_text(encoding="utf-8") if authority and authority.is_file() else ""
    write("ca.crt", trusted)
    write("pip.conf", pip_file(options, with_authority=bool(trusted)))
    return 0


def write(name: str, text: str) -> None:
    """Put a file in place at once: a container that mounts the old one keeps it."""
    draft = DIRECTORY / f".{name}"
    draft.write_text(text, encoding="utf-8")
    draft.chmod(0o444)
    draft.replace(DIRECTORY / name)


def make_key() -> None:
    """Make the key that signs checkpoints where there is none; all public halves ever made stay trusted."""
    if (DIRECTORY / "audit_key").exists():
        return
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    trusted = DIRECTORY / "audit_keys"
    write("audit_keys", (trusted.read_text(encoding="utf-8") if trusted.exists() else "") + public)
    write("audit_key", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


def flatten(path: Path) -> Document:
    """Return the current context of a kubeconfig with every file it names embedded. Raises Unusable."""
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        context = _named(config["contexts"], config["current-context"])["context"]
        cluster = dict(_named(config["clusters"], context["cluster"])["cluster"])
        user = dict(_named(config["users"], context["user"])["user"])
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror}; name the kubeconfig with KUBECONFIG_FILE=…") from error
    except (yaml.YAMLError, KeyError, TypeError, StopIteration) as error:
        raise Unusable(f"{path}: no kubeconfig with a current context") from error
    _check_reachable(path, cluster.get("server", ""))
    if "exec" in user or "auth-provider" in user:
        raise Unusable(f"{path}: logs in by a program, which containers lack; use a certificate or a token")
    for entry, name in ((cluster, "certificate-authority"), (user, "client-certificate"), (user, "client-key")):
        if name in entry:
            entry[f"{name}-data"] = base64.b64encode(_beside(path, entry.pop(name)).read_bytes()).decode()
    if "tokenFile" in user:
        user["token"] = _beside(path, user.pop("tokenFile")).read_text(encoding="utf-8").strip()
    name = config["current-context"]
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{"name": name, "context": {**context, "cluster": "cluster", "user": "user"}}],
        "clusters": [{"name": "cluster", "cluster": cluster}],
        "users": [{"name": "user", "user": user}],
    }


def pip_configuration() -> str:
    """Return what `pip config list` prints here, environment included; nothing where there is no pip."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    return listed.stdout


def pip_options(listed: str) -> dict[str, str]:
    """Pick what a build needs from that list; later lines win, so the environment (`:env:`) is read last."""
    found: dict[str, str] = {}
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):
        place, _, value = line.partition("=")
        section, _, option = place.rpartition(".")
        if section in ("global", "install", ":env:") and option in _PIP_OPTIONS:
            found[option] = str(ast.literal_eval(value))
    return found


def pip_file(options: Mapping[str, str], *, with_authority: bool) -> str:
    """Return pip.conf for the build."""
    kept = {option: value for option, value in options.items() if option != "cert"}
    if with_authority:
        kept["cert"] = _CA_IN_BUILD
    lines = (f"{option} = {' '.join(value.split())}\n" for option, value in kept.items())
    return "[global]\n" + "".join(lines)


def _check_reachable(path: Path, server: str) -> None:
    host = urlsplit(server).hostname or ""
    try:
        loopback = ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if loopback or not host:
        raise Unusable(
            f"{path}: server {server or 'missing'} is this machine's loopback, which no container reaches; "
            "docs/compose.md says how to let the local cluster listen for containers"
        )


def _named(entries: list[Document], name: str) -> Document:
    return next(entry for entry in entries if entry["name"] == name)


def _beside(path: Path, named: str) -> Path:
    found = path.parent / named
    if not found.is_file():
        raise Unusable(f"{path}: names {found}, which is no file")
    return found


if __name__ == "__main__":
    sys.exit(main())
