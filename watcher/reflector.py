"""List and watch of one resource, on raw JSON.

The protocol is client-go's: list in pages, watch from the list's resourceVersion with bookmarks, take over the version
of every event and bookmark as an opaque text, list again only when the server says it is too old (410, as an answer
or as an event), and treat what has vanished from such a list as deleted. A read timeout finds a half-open connection,
for bookmarks come about once a minute. Seconds.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Generic

import orjson

from models.errors import ExecutorError, Transient
from models.keys import Key
from tasks import clock
from tasks.adapters.cluster import Cluster
from tasks.adapters.cluster_errors import Expired, ResourceAbsent, status_error
from tasks.adapters.cluster_transport import Stream
from watcher.backoff import Backoff
from watcher.resource import Resource, S, Timing
from watcher.state import StreamState

log = logging.getLogger(__name__)


class WatchBroken(Exception):
    """The server sent an error or a line that is none; after a few of them the position is given up."""


BROKEN_MAX = 5


class Reflector(Generic[S]):
    """Follows one resource in its own thread and delivers the keys that want a pass."""

    def __init__(
        self,
        cluster: Cluster,
        resource: Resource[S],
        deliver: Callable[[Key, bool], None],
        state: StreamState,
        draw: Callable[[], float],
        timing: Timing,
        rest: Callable[[threading.Event, float], object] = threading.Event.wait,
    ) -> None:
        self._cluster = cluster
        self._resource = resource
        self._deliver = deliver
        self._state = state
        self._draw = draw
        self._timing = timing
        self._rest = rest
        self._backoff = Backoff(timing.first_backoff, timing.last_backoff)
        self._stop = threading.Event()
        self._stream: Stream | None = None
        self._position: str | None = None
        self._broken = 0
        self._cache: dict[tuple[str, str], S] = {}

    def run(self) -> None:
        """Follow the resource until `stop`."""
        while not self._stop.is_set():
            pause = self._round()
            if pause:
                self._rest(self._stop, pause)

    def seen(self) -> list[S]:
        """Return what is known of every object, at one instant; called by other threads."""
        return list(self._cache.values())

    def stop(self) -> None:
        """End `run` soon, also when it waits for the next line."""
        self._stop.set()
        stream = self._stream
        if stream is not None:
            stream.close()

    def _round(self) -> float:
        """List if there is no position, watch until that ends; return the pause before the next round."""
        try:
            if self._position is None:
                self._relist()
            if self._position is None:
                return self._backoff.next(self._draw())
            return self._watch(self._position)
        except ResourceAbsent as error:
            return self._absence(error)
        except Expired as error:
            self._position = None
            return self._failure("resource version expired, listing again", error)
        except WatchBroken as error:
            self._broken += 1
            if self._broken >= BROKEN_MAX:
                self._position, self._broken = None, 0
            return self._failure("watch broken", error)
        except ExecutorError as error:
            return self._failure("watch failed", error)
        except Exception as error:
            log.exception("watch failed unexpectedly", extra={"resource": self._resource.name})
            self._position = None
            return self._failure("defect", error)

    def _failure(self, what: str, error: Exception) -> float:
        wait = self._backoff.next(self._draw())
        if isinstance(error, Transient) and error.retry_after is not None:
            wait = max(wait, error.retry_after.total_seconds())
        if not self._stop.is_set():
            extra = {"resource": self._resource.name, "error": str(error)[:500], "retry_in": round(wait, 2)}
            log.warning(what, extra=extra)
        return wait

    def _absence(self, error: ResourceAbsent) -> float:
        if not self._state.absent:
            log.warning("resource type absent", extra={"resource": self._resource.name, "error": str(error)})
        self._position = None
        self._replace({})
        self._state.found_absent()
        return self._timing.absent_pause * (0.75 + 0.5 * self._draw())

    def _relist(self) -> None:
        found: dict[tuple[str, str], S] = {}
        token = ""
        while not self._stop.is_set():
            page = self._cluster.list_page(
                self._resource.path,
                label_selector=self._resource.selector,
                field_selector=self._resource.fields,
                token=token,
            )
            for document in page.items:
                self._note(found, document)
            self._state.heard()
            token = page.next
            if not token:
                self._replace(found)
                self._position = page.resource_version or None
                was_absent = self._state.absent
                self._state.found_listed(len(found))
                if was_absent:
                    self._resource.appeared()
                log.info("listed", extra={"resource": self._resource.name, "objects": len(found)})
                return

    def _note(self, found: dict[tuple[str, str], S], document: Mapping[str, Any]) -> None:
        found[_name(document)] = self._resource.see(document)

    def _replace(self, found: dict[tuple[str, str], S]) -> None:
        """Take a list as the truth; who is missing from it was deleted while nobody listened."""
        before = self._cache
        self._cache = found
        for name, seen in before.items():
            if name not in found and seen.key is not None:
                self._deliver(seen.key, False)
        for name, seen in found.items():
            if seen.key is not None and self._resource.listed(before.get(name), seen):
                self._deliver(seen.key, False)

    def _watch(self, position: str) -> float:
        shortest, longest = self._timing.shortest_watch, self._timing.longest_watch
        params = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": position,
            "timeoutSeconds": str(int(shortest + (longest - shortest) * self._draw())),
            "labelSelector": self._resource.selector,
            "fieldSelector": self._resource.fields,
        }
        started = clock.monotonic()
        read_timeout = timedelta(seconds=self._timing.read_timeout)
        try:
            with self._cluster.stream(self._resource.path, params, read_timeout=read_timeout) as stream:
                self._stream = stream
                if self._stop.is_set():
                    return 0
                for line in stream:
                    self._take(line)
        finally:
            self._stream = None
            lived = clock.monotonic() - started
            if lived >= self._timing.healthy:
                self._backoff.reset()
        return self._backoff.next(self._draw()) if lived < self._timing.very_short else 0

    def _take(self, line: bytes) -> None:
        kind, document = _read_line(line)
        if kind == "ERROR":
            error = status_error(f"watch {self._resource.path}", int(document.get("code") or 500), document)
            if isinstance(error, Expired) or document.get("code") == 429:
                raise error
            raise WatchBroken(str(error))
        if kind in ("ADDED", "MODIFIED"):
            self._changed(document)
        elif kind == "DELETED":
            self._deleted(document)
        self._position = document["metadata"]["resourceVersion"]
        self._broken = 0
        self._state.heard_event()

    def _changed(self, document: Mapping[str, Any]) -> None:
        name = _name(document)
        before, after = self._cache.get(name), self._resource.see(document)
        self._cache[name] = after
        if after.key is not None and self._resource.changed(before, after):
            self._deliver(after.key, True)

    def _deleted(self, document: Mapping[str, Any]) -> None:
        self._cache.pop(_name(document), None)
        key = self._resource.see(document).key
        if key is not None:
            self._deliver(key, True)


def _name(document: Mapping[str, Any]) -> tuple[str, str]:
    metadata = document["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def _read_line(line: bytes) -> tuple[str, dict[str, Any]]:
    try:
        event = orjson.loads(line)
        kind, document = event["type"], event["object"]
        if kind != "ERROR":
            document["metadata"]["resourceVersion"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise WatchBroken(f"no watch event: {line[:200]!r}") from error
    return kind, document
