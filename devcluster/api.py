"""Talk to an API server the little that running a cluster needs: ask, and server-side apply.

Certificates are always verified. Reads a kubeconfig with certificates or a token; one that runs a program to log in is
refused.
"""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx
import yaml

from devcluster.manifests import Document
from devcluster.places import DevclusterError

FIELD_MANAGER: Final = "devcluster"


class Api:
    """A connection to one API server as one user."""

    def __init__(self, server: str, context: ssl.SSLContext, headers: dict[str, str] | None = None) -> None:
        """Connect when the first request is made."""
        # A proxy of the environment must not carry requests to this machine.
        self._client = httpx.Client(
            base_url=server, verify=context, headers=headers, timeout=httpx.Timeout(30.0), trust_env=False
        )
        self._resources: dict[str, dict[str, tuple[str, bool]]] = {}

    @classmethod
    def of(cls, kubeconfig: Path) -> Self:
        """Connect as the current user of a kubeconfig.

        Raises:
            DevclusterError: the file cannot be read or wants a login this does not know.
        """
        try:
            server, cluster, user = _current(kubeconfig)
        except (OSError, yaml.YAMLError, KeyError, StopIteration, TypeError) as error:
            raise DevclusterError(f"{kubeconfig} is not a usable kubeconfig: {error!r}") from error
        authority = _material(kubeconfig, cluster, "certificate-authority")
        context = ssl.create_default_context(cadata=authority.decode() if authority else None)
        certificate, key = _material(kubeconfig, user, "client-certificate"), _material(kubeconfig, user, "client-key")
        if certificate and key:
            with tempfile.NamedTemporaryFile() as both:
                both.write(certificate + b"\n" + key)
                both.flush()
                context.load_cert_chain(both.name)
            return cls(server, context)
        if token := user.get("token"):
            return cls(server, context, {"Authorization": f"Bearer {token}"})
        raise DevclusterError(f"{kubeconfig}: only client certificates and tokens are supported")

    @staticmethod
    def server_of(kubeconfig: Path) -> str:
        """Return the URL of the current cluster of a kubeconfig."""
        return _current(kubeconfig)[0]

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        """Use as a context manager."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self.close()

    def get(self, path: str) -> Any:
        """Return the JSON at a path, None when there is none (404).

        Raises:
            DevclusterError: the server refuses.
        """
        answer = self._client.get(path)
        return None if answer.status_code == httpx.codes.NOT_FOUND else _checked(answer).json()

    def ready(self) -> bool:
        """Tell whether the server says that it is ready; a server that does not answer is not."""
        try:
            return self._client.get("/readyz").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def apply(self, documents: Iterable[Document]) -> None:
        """Apply objects on the server in their order; a CRD is waited for before what follows it.

        Raises:
            DevclusterError: an object is refused, with the server's message.
        """
        for document in documents:
            path = self._path(document)
            # Applied by hand on purpose: client-side apply cannot store CRDs of this size.
            answer = self._client.patch(
                path,
                params={"fieldManager": FIELD_MANAGER, "force": "true"},
                content=json.dumps(document),
                headers={"Content-Type": "application/apply-patch+yaml"},
            )
            _checked(answer)

    def wait_established(self, crds: Iterable[Document], timeout: float) -> None:
        """Wait until every CRD is served: established, in discovery, which hears of it later, and its storage ready.

        Until that is, a list is answered 429.
        """
        for crd in crds:
            path = f"{self._path(crd)}"

            def established(path: str = path) -> bool:
                conditions = self.get(path).get("status", {}).get("conditions") or []  # null at first
                return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)

            until(established, timeout, f"{crd['metadata']['name']} is not established")
            until(lambda crd=crd: self._served(crd), timeout, f"{crd['metadata']['name']} is not served")  # type: ignore[misc]

    def _served(self, crd: Document) -> bool:
        spec = crd["spec"]
        plural = spec["names"]["plural"]
        roots = [f"/apis/{spec['group']}/{version['name']}" for version in spec["versions"] if version["served"]]
        return all(
            self._client.get(f"{root}/{plural}?limit=1").is_success and self._listed(root, plural) for root in roots
        )

    def _listed(self, root: str, plural: str) -> bool:
        answer = self._client.get(root)
        return answer.is_success and any(item["name"] == plural for item in answer.json().get("resources") or ())

    def _path(self, document: Document) -> str:
        version = document["apiVersion"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        kind, metadata = document["kind"], document["metadata"]
        plural, namespaced = self._resource(root, kind)
        place = f"/namespaces/{metadata.get('namespace', 'default')}" if namespaced else ""
        return f"{root}{place}/{plural}/{metadata['name']}"

    def _resource(self, root: str, kind: str) -> tuple[str, bool]:
        if kind not in self._resources.get(root, {}):
            # A CRD that was just established appears in discovery a moment later.
            until(lambda: self._discover(root, kind), 10.0, f"the server does not know {kind} in {root}")
        return self._resources[root][kind]

    def _discover(self, root: str, kind: str) -> bool:
        listed = (self.get(root) or {}).get("resources", [])
        known = {item["kind"]: (item["name"], item["namespaced"]) for item in listed if "/" not in item["name"]}
        self._resources[root] = known
        return kind in known


def until(condition: Callable[[], object], timeout: float, complaint: str, every: float = 0.03) -> None:
    """Ask again and again until the condition holds.

    Raises:
        DevclusterError: it does not within `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise DevclusterError(f"{complaint} after {timeout:.0f} s")
        time.sleep(every)


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_success:
        return answer
    try:
        message = answer.json()["message"]
    except (ValueError, KeyError, TypeError):
        message = answer.text[:200]
    raise DevclusterError(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {message}")


def _current(kubeconfig: Path) -> tuple[str, Document, Document]:
    config = yaml.safe_load(kubeconfig.read_text())
    context = _named(config["contexts"], config["current-context"])["context"]
    cluster = _named(config["clusters"], context["cluster"])["cluster"]
    return cluster["server"], cluster, _named(config["users"], context["user"])["user"]


def _named(entries: list[Document], name: str) -> Document:
    return next(entry for entry in entries if entry["name"] == name)


def _material(kubeconfig: Path, entry: Document, name: str) -> bytes:
    if embedded := entry.get(f"{name}-data"):
        return base64.b64decode(embedded)
    return (kubeconfig.parent / entry[name]).read_bytes() if entry.get(name) else b""
