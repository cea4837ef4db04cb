"""A model of the API server: what the adapters ask of it, and the rules they rely on.

resourceVersion compare-and-set, AlreadyExists by name, uid preconditions, finalizers and deletionTimestamp, a status
subresource, merge patches, watch events in order. Every call is atomic; lists are consistent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote

import orjson

from models.errors import Conflict
from models.instants import format_instant
from tasks.adapters.cluster_errors import AlreadyExists, Vanished

Document = dict[str, Any]
Place = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """One watch event: the object before and after; `after` is None when it is gone."""

    plural: str
    before: Document | None
    after: Document | None


class Violation(BaseException):
    """What must always hold does not. No handler of production may swallow it."""


class ModelCluster:
    """The objects, by (plural, namespace, name). `listeners` hear each change in the step in which it happens."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._version = 0
        self._uids = 0
        self.objects: dict[Place, Document] = {}
        self.log: list[Change] = []
        self.listeners: list[Callable[[Change], None]] = []
        self.admit: Callable[[str, Document], None] = lambda plural, body: None

    def get(self, path: str) -> Document | None:
        found = self.objects.get(_place(path))
        return None if found is None else copied(found)

    def list(self, path: str, *, label_selector: str = "", **others: object) -> Iterator[Document]:
        plural, namespace, _name = _place(path)
        label, _, value = label_selector.partition("=")
        found = [
            copied(document)
            for place, document in self.objects.items()
            if place[0] == plural and namespace in ("", place[1]) and _labelled(document, label, value)
        ]
        return iter(found)

    def create(self, path: str, body: Mapping[str, Any], *, hiding: object = ()) -> Document:
        plural, namespace, _ = _place(path)
        document = copied(body)
        metadata = document["metadata"]
        place = (plural, namespace, metadata["name"])
        if place in self.objects:
            raise AlreadyExists(f"{plural} {place[2]} already exists")
        self.admit(plural, document)
        self._uids += 1
        created = format_instant(self._now().replace(microsecond=0))
        metadata |= {
            "namespace": namespace,
            "uid": f"uid-{self._uids:04d}",
            "generation": 1,
            "creationTimestamp": created,
        }
        return self._keep(place, None, document)

    def merge_patch(
        self, path: str, body: Mapping[str, Any], *, subresource: str = "", hiding: object = ()
    ) -> Document:
        place = _place(path)
        before = self.objects.get(place)
        if before is None:
            raise Vanished(f"{path} is gone")
        uid = (body.get("metadata") or {}).get("uid")
        if uid is not None and uid != before["metadata"]["uid"]:
            raise Conflict(f"{path} is another object")
        version = (body.get("metadata") or {}).get("resourceVersion")
        if version is not None and version != before["metadata"]["resourceVersion"]:
            raise Conflict(f"{path} changed since it was read")
        changes = {"status": body.get("status")} if subresource == "status" else {**body, "status": None}
        document = _merged(before, {name: value for name, value in changes.items() if value is not None})
        if document == before:
            if version is not None:
                # A real one need not compare then, when its watch cache is behind: a loser takes itself for the winner.
                raise Violation(f"a compare-and-set of {path} changes nothing: {body}")
            return copied(before)
        return self._settle(place, before, document)

    def delete(self, path: str, *, uid: str, propagation: str = "Background", hiding: object = ()) -> Document | None:
        place = _place(path)
        before = self.objects.get(place)
        if before is None:
            return None
        if before["metadata"]["uid"] != uid:
            raise Conflict(f"{path} is another object")
        document = copied(before)
        stamp = format_instant(self._now().replace(microsecond=0))
        document["metadata"].setdefault("deletionTimestamp", stamp)
        return self._settle(place, before, document)

    def remove(self, path: str) -> None:
        """Take an object away whatever its finalizers say."""
        place = _place(path)
        self._drop(place, self.objects[place])

    def _settle(self, place: Place, before: Document, document: Document) -> Document:
        metadata = document["metadata"]
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
            self._drop(place, before)
            return document
        return self._keep(place, before, document)

    def _keep(self, place: Place, before: Document | None, document: Document) -> Document:
        self._version += 1
        document["metadata"]["resourceVersion"] = str(self._version)
        self.objects[place] = document
        self._tell(Change(place[0], before, document))
        return copied(document)

    def _drop(self, place: Place, before: Document) -> None:
        del self.objects[place]
        self._tell(Change(place[0], before, None))

    def _tell(self, change: Change) -> None:
        self.log.append(change)
        for listener in self.listeners:
            listener(change)


def copied(document: Mapping[str, Any]) -> Document:
    """Return a copy that shares nothing."""
    copy: Document = orjson.loads(orjson.dumps(document))
    return copy


def _place(path: str) -> Place:
    parts = [unquote(part) for part in path.strip("/").split("/")]
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    if parts[0] != "namespaces":
        return parts[0], "", ""
    return parts[2], parts[1], parts[3] if len(parts) > 3 else ""


def _labelled(document: Document, label: str, value: str) -> bool:
    labels = document["metadata"].get("labels") or {}
    return not label or (label in labels and value in ("", labels[label]))


def _merged(old: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    merged = dict(old) if isinstance(old, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), value)
    return merged
