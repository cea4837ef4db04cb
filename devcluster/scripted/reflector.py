"""Follow PipelineRuns: list, then watch from there, for ever.

Yields what is there now and what changes. After a lost watch it goes on from the last resourceVersion; when that is too
old (410, as an HTTP status or as an ERROR event) it lists again and yields a deletion for what has gone meanwhile.
resourceVersions are opaque. A stream that is silent for longer than bookmarks are apart is taken for dead.
"""

from __future__ import annotations

import http.client
import logging
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from urllib.parse import urlencode

from devcluster.scripted.connection import Client, Refused

PAGE: Final = 500
STREAM_SECONDS: Final = 300
SILENCE_SECONDS: Final = 75.0
PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 5.0
GONE: Final = 410

Run: TypeAlias = dict[str, Any]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """A run as it is now, or as it was when it was deleted."""

    run: Run
    deleted: bool = False


@dataclass(slots=True)
class Reflector:
    """The runs of one path and where in their history we are."""

    client: Client
    path: str
    version: str = ""
    known: dict[str, Run] = field(default_factory=dict)
    listed: threading.Event = field(default_factory=threading.Event)

    def follow(self) -> Generator[Change, None, None]:
        """Yield changes without end; a server that is away is waited for."""
        pause = PAUSE_SECONDS
        while True:
            try:
                if not self.version:
                    yield from self._list()
                for change in self._watch():
                    pause = PAUSE_SECONDS
                    yield change
            except Refused as refused:
                if refused.status == GONE:
                    self.version = ""
                else:
                    log.warning("watch of %s: %s", self.path, refused)
            except (OSError, http.client.HTTPException) as error:
                log.warning("watch of %s: %s", self.path, str(error) or type(error).__name__)
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _list(self) -> Iterator[Change]:
        found: dict[str, Run] = {}
        query = {"limit": str(PAGE)}
        while True:
            page = self.client.request("GET", f"{self.path}?{urlencode(query)}")
            found |= {run["metadata"]["uid"]: run for run in page["items"]}
            query["continue"] = page["metadata"].get("continue") or ""
            if not query["continue"]:
                break
        gone = [run for uid, run in self.known.items() if uid not in found]
        self.known, self.version = found, page["metadata"]["resourceVersion"]
        self.listed.set()
        yield from (Change(run, deleted=True) for run in gone)
        yield from (Change(run) for run in found.values())

    def _watch(self) -> Iterator[Change]:
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self.version,
            "timeoutSeconds": str(STREAM_SECONDS),
        }
        for event in self.client.stream(f"{self.path}?{urlencode(query)}", SILENCE_SECONDS):
            run = event["object"]
            if event["type"] == "ERROR":
                raise Refused(run.get("code") or 500, run.get("reason") or "", run.get("message") or "")
            self.version = run["metadata"]["resourceVersion"]
            if event["type"] == "BOOKMARK":
                continue
            if event["type"] == "DELETED":
                self.known.pop(run["metadata"]["uid"], None)
                yield Change(run, deleted=True)
            else:
                self.known[run["metadata"]["uid"]] = run
                yield Change(run)
