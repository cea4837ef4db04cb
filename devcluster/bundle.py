"""Publish Tekton bundles: Pipeline and Task YAML as an OCI image in a registry.

An image manifest with one layer an object (tar+gzip with one file, annotations ``dev.tekton.image.*``), written over
the OCI distribution API. The same content under the same reference gives the same digest. A loopback registry is
spoken to in plain http, any other in https; there is no login. Does not read bundles back.

Tekton looks a plain ``taskRef: {name: X}`` up in the cluster. When the bundle itself holds a Task X, the reference is
published as one to this bundle (``resolver: bundles``), so that a bundle is complete in itself.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import hashlib
import io
import ipaddress
import json
import re
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import httpx
import yaml

MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE: Final = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
MAX_OBJECTS: Final = 20  # Tekton's bundle resolver refuses more
TIMEOUT_SECONDS: Final = 10.0

_REFERENCE: Final = re.compile(
    r"(?P<registry>[\w.-]+(?::\d+)?|\[[0-9a-f:]+\](?::\d+)?)/(?P<name>[a-z0-9][a-z0-9._/-]*)(?::(?P<tag>\w[\w.-]{0,127}))?"
)

Document: TypeAlias = Mapping[str, Any]


class BundleError(Exception):
    """A bundle that cannot be built or stored; the message is one line."""


@dataclass(frozen=True, slots=True)
class Reference:
    """An image reference ``registry/name:tag``."""

    registry: str
    name: str
    tag: str = "latest"

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read ``HOST[:PORT]/name[:tag]``.

        Raises:
            BundleError: not of that form.
        """
        match = _REFERENCE.fullmatch(text)
        if match is None:
            raise BundleError(f"{text!r} is no image reference: HOST:PORT/name:tag is needed")
        return cls(match["registry"], match["name"], match["tag"] or "latest")

    def __str__(self) -> str:
        return f"{self.registry}/{self.name}:{self.tag}"

    @property
    def base_url(self) -> str:
        """Return the address of the repository in the distribution API."""
        host = self.registry.rsplit(":", 1)[0].strip("[]") if not self.registry.endswith("]") else self.registry[1:-1]
        return f"{'http' if _is_loopback(host) else 'https'}://{self.registry}/v2/{self.name}"


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes that are stored under their digest."""

    media_type: str
    content: bytes

    @property
    def digest(self) -> str:
        """Return ``sha256:<hex>`` of the content."""
        return _digest(self.content)

    def descriptor(self, annotations: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return the OCI descriptor of this blob."""
        described: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": len(self.content)}
        return described | {"annotations": dict(annotations)} if annotations else described


@dataclass(frozen=True, slots=True)
class Image:
    """A bundle ready to be stored: its blobs and the manifest that names them."""

    blobs: tuple[Blob, ...]
    manifest: Blob


@dataclass(frozen=True, slots=True)
class Published:
    """A bundle as the registry holds it."""

    reference: Reference
    digest: str

    @property
    def pinned(self) -> str:
        """Return the reference by digest."""
        return f"{self.reference.registry}/{self.reference.name}@{self.digest}"


def publish(registry: str, name: str, documents: Sequence[Document] | Path) -> str:
    """Store a bundle as ``registry/name`` (name with an optional ``:tag``) and return its reference.

    Documents are parsed YAML or a file or folder of it.

    Raises:
        BundleError: wrong documents, or the registry refused or cannot be reached.
    """
    return str(push(Reference.parse(f"{registry}/{name}"), documents).reference)


def push(reference: Reference, documents: Sequence[Document] | Path) -> Published:
    """Store a bundle under a reference and return it with its digest (see `publish`)."""
    image = build(reference, read(documents) if isinstance(documents, Path) else documents)
    try:
        with httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            for blob in image.blobs:
                _store_blob(client, reference, blob)
            answer = client.put(
                f"{reference.base_url}/manifests/{reference.tag}",
                content=image.manifest.content,
                headers={"Content-Type": MANIFEST_TYPE},
            )
            _expect(answer, 201, "manifest")
    except httpx.HTTPError as error:
        raise BundleError(f"registry {reference.registry} cannot be reached: {error}") from error
    return Published(reference, image.manifest.digest)


def read(path: Path) -> tuple[Document, ...]:
    """Read the documents of a YAML file, or of all of a folder's in name order.

    Raises:
        BundleError: missing, unreadable, or no YAML mapping in it.
    """
    files = sorted([*path.glob("*.yaml"), *path.glob("*.yml")]) if path.is_dir() else [path]
    return tuple(document for file in files for document in _read_file(file))


def build(reference: Reference, documents: Sequence[Document]) -> Image:
    """Make the image of some documents; pure.

    Raises:
        BundleError: no documents, too many, one that is no Tekton object, or two of one kind and name.
    """
    if not 1 <= len(documents) <= MAX_OBJECTS:
        raise BundleError(f"{reference}: {len(documents)} objects, 1 to {MAX_OBJECTS} are allowed")
    titles = [_title(document) for document in documents]
    for title in titles:
        if titles.count(title) > 1:
            raise BundleError(f"{reference}: {title['dev.tekton.image.kind']} {title['dev.tekton.image.name']} twice")
    own_tasks = frozenset(t["dev.tekton.image.name"] for t in titles if t["dev.tekton.image.kind"] == "task")
    tars = [_tar(t, complete(document, own_tasks, reference)) for t, document in zip(titles, documents, strict=True)]
    layers = [Blob(LAYER_TYPE, gzip.compress(tar, mtime=0)) for tar in tars]
    config = Blob(
        CONFIG_TYPE,
        _json(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {},
                "rootfs": {"type": "layers", "diff_ids": [_digest(tar) for tar in tars]},
            }
        ),
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": config.descriptor(),
        "layers": [layer.descriptor(title) for layer, title in zip(layers, titles, strict=True)],
    }
    return Image((*layers, config), Blob(MANIFEST_TYPE, _json(manifest)))


def complete(document: Document, own_tasks: frozenset[str], reference: Reference) -> Document:
    """Return the document with plain references to the bundle's own tasks made references to the bundle."""
    if document["kind"] != "Pipeline":
        return document
    completed = copy.deepcopy(dict(document))
    spec = completed.get("spec") or {}
    for task in (*(spec.get("tasks") or ()), *(spec.get("finally") or ())):
        ref = task.get("taskRef") or {}
        if "resolver" not in ref and ref.get("name") in own_tasks:
            params = {"bundle": str(reference), "name": ref["name"], "kind": "task"}
            task["taskRef"] = {"resolver": "bundles", "params": [{"name": k, "value": v} for k, v in params.items()]}
    return completed


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _title(document: Document) -> dict[str, str]:
    api_version, kind = str(document.get("apiVersion", "")), str(document.get("kind", ""))
    name = (document.get("metadata") or {}).get("name")
    if not api_version.startswith("tekton.dev/") or not kind or not name:
        raise BundleError(f"no Tekton object (apiVersion {api_version!r}, kind {kind!r}, name {name!r})")
    return {
        "dev.tekton.image.apiVersion": api_version.partition("/")[2],
        "dev.tekton.image.kind": kind.lower(),
        "dev.tekton.image.name": str(name),
    }


def _tar(title: Mapping[str, str], document: Document) -> bytes:
    content = _json(document)
    entry = tarfile.TarInfo(title["dev.tekton.image.name"])
    entry.size, entry.mode, entry.mtime = len(content), 0o600, 0
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _read_file(file: Path) -> Iterator[Document]:
    try:
        documents = [d for d in yaml.safe_load_all(file.read_text(encoding="utf-8")) if d is not None]
    except OSError as error:
        raise BundleError(f"{file}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BundleError(f"{file}: no YAML: {' '.join(str(error).split())}") from error
    for document in documents:
        if not isinstance(document, dict):
            raise BundleError(f"{file}: a document is no mapping")
        yield document


def _store_blob(client: httpx.Client, reference: Reference, blob: Blob) -> None:
    if client.head(f"{reference.base_url}/blobs/{blob.digest}").status_code == 200:
        return
    begun = client.post(f"{reference.base_url}/blobs/uploads/")
    _expect(begun, 202, "upload")
    place = begun.url.join(begun.headers["Location"]).copy_merge_params({"digest": blob.digest})
    stored = client.put(place, content=blob.content, headers={"Content-Type": "application/octet-stream"})
    _expect(stored, 201, "blob")


def _expect(answer: httpx.Response, status: int, what: str) -> None:
    if answer.status_code != status:
        detail = " ".join(answer.text.split())[:200]
        request = answer.request
        raise BundleError(f"registry refused the {what}: {request.method} {request.url}: {answer.status_code} {detail}")


def main(argv: Sequence[str] | None = None) -> int:
    """Publish the files named on the command line; print the reference and the digest."""
    parser = argparse.ArgumentParser(prog="python -m devcluster.bundle", description="Publish a Tekton bundle.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="YAML file, or folder of them")
    parser.add_argument("--to", required=True, metavar="HOST:PORT/NAME:TAG", help="image reference to publish as")
    arguments = parser.parse_args(argv)
    try:
        documents = [document for path in arguments.files for document in read(path)]
        published = push(Reference.parse(arguments.to), documents)
    except BundleError as error:
        print(f"bundle: {error}", file=sys.stderr)
        return 1
    print(f"{published.reference} {published.digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
