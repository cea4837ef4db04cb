"""The Kubernetes API server: raw JSON, no typed models, errors translated. The only importer of `kubernetes`.

The official client loads the configuration (kubeconfig with client certificates, tokens and exec plugins, or the pod's
own token) and builds the connection pool; requests go to that pool directly, because its watch and its models cost more
than they give. Thread-safe; connect after a fork, never before.
"""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson
import yaml
from kubernetes import config as kubernetes_config
from kubernetes.client import Configuration
from kubernetes.client.rest import RESTClientObject

from models.errors import Misconfigured, Transient
from tasks import clock
from tasks.adapters.cluster_errors import Expired, Vanished, clean, refusal
from tasks.adapters.cluster_transport import Answer, Credentials, Stream, Transport

Document = dict[str, Any]

PAGE = 500  # objects; a list of everything at once costs the API server and us a gigabyte
LIST_RESTARTS = 5
KEPT_CONNECTIONS = 64
MERGE_PATCH = "application/merge-patch+json"
RELOAD_PAUSE = 10.0  # seconds between two attempts to read the configuration again after 401

# What the official loader raises on a file that is absent, no YAML, or has another shape than it expects.
_UNREADABLE = (
    kubernetes_config.ConfigException,
    OSError,
    yaml.YAMLError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list. `resource_version` is opaque; `next` is empty on the last page."""

    items: list[Document]
    resource_version: str
    next: str


class Cluster:
    """Requests against one API server.

    Every method raises Transient when the server cannot answer now (429, 5xx, 401, no connection, timeout), Permanent
    with the server's reason when it refuses for good, ResourceAbsent when it does not know the type.

    `hiding` are values that no error of a write may quote: admission policies and webhooks are free to quote what an
    object holds, and an error goes into logs, task events, Kubernetes Events and the audit.
    """

    def __init__(self, kubeconfig: str, context: str, timeout: timedelta) -> None:
        self._source = (kubeconfig, context)
        self._seconds = timeout.total_seconds()
        self._session = _Session(*self._source)

    @classmethod
    def connect(
        cls, kubeconfig: str = "", context: str = "", request_timeout: timedelta = timedelta(seconds=10)
    ) -> Cluster:
        """Load the configuration; sends nothing yet. No kubeconfig: the pod's own account, else KUBECONFIG.

        Raises Misconfigured when there is no usable configuration.
        """
        return cls(kubeconfig, context, request_timeout)

    def with_timeout(self, timeout: timedelta) -> Cluster:
        """Return the same connections with another limit for one request."""
        other = copy.copy(self)
        other._seconds = timeout.total_seconds()
        return other

    def get(self, path: str) -> Document | None:
        """Return the object, None when there is none of that name."""
        try:
            return self._document("GET", path)
        except Vanished:
            return None

    def list(
        self, path: str, *, label_selector: str = "", field_selector: str = "", limit: int = PAGE
    ) -> Iterator[Document]:
        """Yield every object, consistently, page by page.

        When a page's token expires the list starts again, so an object may come twice; the later one counts.
        """
        restarts, token = 0, ""
        while True:
            try:
                page = self.list_page(
                    path, label_selector=label_selector, field_selector=field_selector, limit=limit, token=token
                )
            except Expired:
                restarts, token = restarts + 1, ""
                if restarts > LIST_RESTARTS:
                    raise
                continue
            yield from page.items
            token = page.next
            if not token:
                return

    def list_page(
        self, path: str, *, label_selector: str = "", field_selector: str = "", limit: int = PAGE, token: str = ""
    ) -> Page:
        """Return one page of a consistent list. Raises Expired when the token is too old."""
        asked = {"limit": str(limit), "labelSelector": label_selector, "fieldSelector": field_selector}
        document = self._document("GET", path, params={**asked, "continue": token})
        metadata = document.get("metadata") or {}
        return Page(document.get("items") or [], metadata.get("resourceVersion") or "", metadata.get("continue") or "")

    def create(
        self, path: str, body: Mapping[str, Any], *, dry_run: bool = False, hiding: Sequence[str] = ()
    ) -> Document:
        """Create an object in the collection `path`. Raises AlreadyExists. A dry run is refused as it would be."""
        params = {"dryRun": "All"} if dry_run else None
        return self._document("POST", path, body, "application/json", params, hiding)

    def merge_patch(
        self, path: str, body: Mapping[str, Any], *, subresource: str = "", hiding: Sequence[str] = ()
    ) -> Document:
        """Apply an RFC 7386 merge patch. A `metadata.resourceVersion` in it makes a compare-and-set.

        Raises Conflict when the object changed since, Vanished (a Conflict) when it is gone.
        """
        whole = f"{path}/{subresource}" if subresource else path
        return self._document("PATCH", whole, body, MERGE_PATCH, hiding=hiding)

    def delete(
        self, path: str, *, uid: str, propagation: str = "Background", hiding: Sequence[str] = ()
    ) -> Document | None:
        """Delete the object if it still is the one with that uid; None when there is none of that name.

        Raises Conflict when another object has taken the name.
        """
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            "propagationPolicy": propagation,
        }
        try:
            return self._document("DELETE", path, options, "application/json", hiding=hiding)
        except Vanished:
            return None

    def stream(self, path: str, params: Mapping[str, str], *, read_timeout: timedelta) -> Stream:
        """Open a watch and return its lines; use it in a `with`."""
        return self._session.transport.stream(_target(path, params), self._seconds, read_timeout.total_seconds())

    def _document(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        content_type: str = "",
        params: Mapping[str, str] | None = None,
        hiding: Sequence[str] = (),
    ) -> Document:
        payload = None if body is None else orjson.dumps(body)
        answer = self._session.transport.send(method, _target(path, params), payload, content_type, self._seconds)
        if answer.code >= 300:
            if answer.code == 401:
                self._session.reload()
            raise refusal(method, path, answer.code, answer.headers, answer.body, hiding)
        return _read(method, path, answer)


class _Session:
    """The transport of a configuration, replaced when the server no longer accepts its credentials."""

    def __init__(self, kubeconfig: str, context: str) -> None:
        self._source = (kubeconfig, context)
        self._lock = threading.Lock()
        self._loaded = clock.monotonic()
        self.transport = _transport(_load(*self._source))

    def reload(self) -> None:
        """Read the configuration again: a rotated certificate or token file is not seen by the official client."""
        with self._lock:
            if clock.monotonic() < self._loaded + RELOAD_PAUSE:
                return
            self._loaded = clock.monotonic()
            try:
                self.transport = _transport(_load(*self._source))
            except Misconfigured as error:
                log.warning("kubernetes credentials refused and not readable again: %s", error)


def _load(kubeconfig: str, context: str) -> Configuration:
    configuration = Configuration(connection_pool_maxsize=KEPT_CONNECTIONS)
    configuration.keep_alive = True
    try:
        if kubeconfig or not _in_cluster(configuration):
            kubernetes_config.load_kube_config(  # type: ignore[no-untyped-call]
                config_file=kubeconfig or None,
                context=context or None,
                client_configuration=configuration,
                persist_config=False,
            )
    except _UNREADABLE as error:
        where = kubeconfig or "in-cluster, KUBECONFIG or ~/.kube/config"
        raise Misconfigured(clean(f"kubernetes.kubeconfig={where}: {error}")) from error
    if urlsplit(configuration.host).scheme not in ("http", "https"):
        raise Misconfigured(clean(f"kubernetes.kubeconfig: server {configuration.host!r}: an http or https URL"))
    return configuration


def _in_cluster(configuration: Configuration) -> bool:
    try:
        kubernetes_config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except kubernetes_config.ConfigException:
        return False
    return True


def _transport(configuration: Configuration) -> Transport:
    pool = RESTClientObject(configuration).pool_manager.connection_from_url(configuration.host)
    prefix = urlsplit(configuration.host).path.rstrip("/")

    def authorization() -> str | None:
        try:
            value = configuration.auth_settings().get("BearerToken", {}).get("value")
        except (kubernetes_config.ConfigException, OSError) as error:
            raise Transient(clean(f"kubernetes credentials: {error}")) from error
        return value.strip() if value else None

    return Transport(pool, prefix, Credentials(authorization, clock.monotonic))


def _target(path: str, params: Mapping[str, str] | None) -> str:
    query = urlencode({name: value for name, value in (params or {}).items() if value})
    return f"{path}?{query}" if query else path


def _read(method: str, path: str, answer: Answer) -> Document:
    try:
        document = orjson.loads(answer.body)
    except orjson.JSONDecodeError as error:
        raise Transient(clean(f"{method} {path}: {answer.code}, but the answer is no JSON")) from error
    if not isinstance(document, dict):
        raise Transient(clean(f"{method} {path}: {answer.code}, but the answer is no JSON object"))
    return document
