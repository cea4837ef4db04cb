"""What a test of the delivery works with: the executor's flusher, Redis, the fault proxy, and a DataStorage process.

Everything is real but the clock of the outbox: waits are moved past instead of waited for.
"""

from __future__ import annotations

import json
import ssl
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from prometheus_client import CollectorRegistry

from cli.exported import DATA, MANIFEST, SIGNATURE, Found, verify_export
from datastorage import schema
from datastorage.engine import open_engine
from datastorage.keys import new_key, read_public_keys
from datastorage.settings import parse_settings as datastorage_settings
from models.audit import AuditEvent, audit_event, event_id
from models.keys import Key
from models.settings import parse_settings
from models.status import FactType
from tasks.app import build_app
from tasks.auditing import flush
from tasks.metrics import SERVICE
from tasks.parts import Parts, build_parts
from tasks.redis_scripts.connection import Client
from tasks.redis_scripts.outbox import Outbox
from tests.contract.redis_room import set_clock as clocks
from tests.contract.redis_room.set_clock import SetClock
from tests.faults.audit.proxy import Fault, FaultProxy
from tests.integration.datastorage.conftest import Process

PATIENT, HASTY = timedelta(seconds=60), timedelta(seconds=0.5)
"""How long a flusher waits for an answer: one that will come, and one that will not."""

KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: none, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: none, user: {}}]
contexts: [{name: none, context: {cluster: none, user: none}}]
current-context: none
"""
TURNS = 200


@dataclass
class Service:
    """DataStorage as a process on one database, with a key; it may die and be started again."""

    directory: Path
    url: str
    program: tuple[str, ...] = ("-m", "datastorage")
    settings: Mapping[str, str] = field(default_factory=dict)
    process: Process | None = None

    def prepare(self) -> None:
        """Make key and tables."""
        secret, public = new_key()
        (self.directory / "key").write_bytes(secret)
        (self.directory / "key.pub").write_bytes(public)
        engine = open_engine(datastorage_settings({"database": {"url": self.url}}, {}, {}))
        schema.upgrade(engine)
        engine.dispose()

    def start(self) -> int:
        """Start it and return its port."""
        told = {
            "DATASTORAGE_DATABASE_URL": self.url,
            "DATASTORAGE_CHECKPOINT_KEY_FILE": str(self.directory / "key"),
            "DATASTORAGE_CHECKPOINT_ANCHOR_FILE": str(self.directory / "anchor"),
            **self.settings,
        }
        self.process = Process(("serve", "--port", "0"), told, self.directory, program=self.program)
        return int(self.process.url.rpartition(":")[2])

    @property
    def address(self) -> str:
        assert self.process is not None
        return self.process.url

    def kill(self) -> None:
        """End it as a crash would."""
        assert self.process is not None
        self.process.close()


@dataclass
class Stand:
    """One DataStorage behind one proxy, and the outbox in front of it."""

    service: Service
    proxy: FaultProxy
    client: Client
    clock: SetClock
    directory: Path
    emitted: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    reader: str = ""
    """A token that reads, where one is asked for."""
    ca_file: str = ""
    """Who issued the certificate, where TLS is served: workers go past the proxy then."""
    parts: Parts = field(init=False)
    _workers: list[tuple[Parts, CollectorRegistry]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.parts = self.worker()

    @property
    def outbox(self) -> Outbox:
        return self.parts.outbox

    def worker(
        self,
        timeout: timedelta = PATIENT,
        *,
        token_file: str = "",
        batch_size: int = 500,
        url: str = "",
        ca_file: str = "",
    ) -> Parts:
        """Return what a worker process works with; its outbox keeps the clock of the test."""
        kubeconfig = self.directory / "kubeconfig"
        kubeconfig.write_text(KUBECONFIG)
        options = self.client.connection_pool.connection_kwargs
        document = {
            "kubernetes": {"kubeconfig": str(kubeconfig)},
            "redis": {"url": f"redis://{options['host']}:{options['port']}/0"},
            "audit": {
                "datastorage_url": url or (self.service.address if self.ca_file else self.proxy.url),
                "ca_file": ca_file or self.ca_file,
                "timeout": f"{int(timeout / timedelta(milliseconds=1))}ms",
                "token_file": token_file,
                "batch_size": batch_size,
            },
        }
        settings = parse_settings(document, {}, {})
        registry = CollectorRegistry()
        parts = build_parts(settings, build_app(settings), registry)
        parts = replace(parts, outbox=Outbox(self.client, settings.redis.prefix, clock=clocks.LUA))
        self._workers.append((parts, registry))
        return parts

    def close(self) -> None:
        """Close what workers have open."""
        for parts, _ in self._workers:
            parts.audit.close()

    def emit(self, story: str, events: int, *, size: int = 0) -> list[str]:
        """Buffer the next events of one execution, as its passes would; return their ids."""
        first = len(self.emitted[story]) + 1
        made = [retrying(story, first + number, size=size) for number in range(events)]
        self.append(story, made)
        return [event.event_id for event in made]

    def append(self, story: str, events: Sequence[AuditEvent], *, again: bool = False) -> None:
        """Buffer events as they are; what is sent `again` is no news."""
        buffered = [(event.event_id, event.encoded()) for event in events]
        self.outbox.append(story, Key("audit", story), buffered, awaited=False)
        if not again:
            self.emitted[story] += [event.event_id for event in events]

    def turn(self, parts: Parts | None = None) -> None:
        """Let a worker flush once, as soon as it may."""
        self.clock.advance(self.outbox.flush_wait())
        self.flush_now(parts)

    def flush_now(self, parts: Parts | None = None) -> None:
        """Let a worker do what a message or a tick asks for."""
        flush(parts or self.parts)

    def drain(self) -> None:
        """Flush until nothing is left; a deadline in turns, not in seconds."""
        for _ in range(TURNS):
            if not self.outbox.size():
                return
            self.turn()
        raise AssertionError(f"{self.outbox.size()} events left: {self.outbox.trouble()}")

    def restart(self) -> None:
        """Kill DataStorage and start it again, on another port."""
        self.service.kill()
        self.proxy.upstream = self.service.start()

    def meets(self, *faults: Fault, timeout: timedelta = PATIENT) -> None:
        """Emit, let the next exchanges go wrong like this, and see that all is well afterwards."""
        story = f"story-{len(self.emitted)}"
        self.emit(story, 2)
        self.proxy.then(*faults)
        hasty = self.worker(timeout) if timeout != PATIENT else None
        while not self.proxy.spent:
            self.turn(hasty)
        self.emit(story, 1)
        self.drain()
        self.check()

    def check(self, *, aside: int = 0) -> None:
        """See that all that was emitted is stored, once, in its order, and that chains verify, here and offline."""
        data, manifest = self._export()
        stored: dict[str, list[str]] = defaultdict(list)
        for line in data.splitlines():
            document = json.loads(line)
            if "event" in document:
                chain = stored[document["event"]["correlation_id"]]
                chain.append(document["event"]["event_id"])
                assert document["position"] == len(chain)
        assert stored == {story: ids for story, ids in self.emitted.items() if ids}
        assert (self.outbox.size(), self.outbox.quarantined()) == (0, aside)
        report = self.ask("POST", "verify-chain").json()
        count = sum(map(len, stored.values()))
        assert (report["valid"], report["faults"], report["events"]) == (True, [], count)
        assert self._offline(data, manifest) == count

    def _export(self) -> tuple[bytes, dict[str, str]]:
        data, _, last = self.ask("GET", "export").content.rstrip().rpartition(b"\n")
        return data + b"\n", json.loads(last)

    def _offline(self, data: bytes, manifest: Mapping[str, str]) -> int:
        """Verify an export with the public key alone; return how many events it has."""
        directory = self.directory / "export"
        directory.mkdir(exist_ok=True)
        (directory / DATA).write_bytes(data)
        (directory / MANIFEST).write_text(manifest["manifest"])
        (directory / SIGNATURE).write_text(manifest["signature"])
        found = Found()
        trusted = read_public_keys("key", str(self.service.directory / "key.pub"))
        assert list(verify_export(directory, trusted, found)) == []
        return found.events

    def stored(self, story: str) -> set[str]:
        """Return the ids of what DataStorage has of an execution."""
        found = self.ask("GET", f"events?correlation_id={story}&limit=1000").json()["data"]
        return {str(row["event_id"]) for row in found}

    def ask(self, method: str, route: str) -> httpx.Response:
        """Ask DataStorage itself, past the proxy."""
        headers = {"Authorization": f"Bearer {self.reader}"} if self.reader else {}
        url = f"{self.service.address}/api/v1/audit/{route}"
        trusted = ssl.create_default_context(cafile=self.ca_file or None)
        return httpx.request(method, url, headers=headers, timeout=60, verify=trusted).raise_for_status()

    def counted(self, name: str, parts: Parts | None = None, **labels: str) -> float:
        """Return a counter of a worker."""
        registry = next(each for made, each in self._workers if made is (parts or self.parts))
        return float(registry.get_sample_value(name, {"service": SERVICE, **labels}) or 0)


def retrying(story: str, attempt: int, *, size: int = 0, **changes: Any) -> AuditEvent:
    """Return the event of one attempt of an execution; `changes` go into its body."""
    told: dict[str, Any] = {
        "event_outcome": "success",
        "actor_type": "service",
        "actor_id": "executor",
        "resource_type": "WorkflowExecution",
        "resource_id": story,
        "correlation_id": story,
        "event_data": {"attempt": attempt, "filling": "x" * size},
    }
    now = datetime.now(UTC).replace(microsecond=0)
    return audit_event(event_id(story, FactType.RETRYING, attempt), "workflow.retrying", now, **told | changes)


@contextmanager
def stand(service: Service, client: Client, reader: str = "", ca_file: str = "") -> Iterator[Stand]:
    """Start a prepared DataStorage with everything in front of it; all of it ends with the block."""
    client.flushall()
    proxy = FaultProxy(service.start())
    made = Stand(service, proxy, client, SetClock(client), service.directory, reader=reader, ca_file=ca_file)
    try:
        yield made
    finally:
        made.close()
        proxy.close()
        service.kill()
