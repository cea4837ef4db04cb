"""A running stack: where everything is, and each part stopped, started or killed. `cli.local.up` gives one."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from cli.errors import CommandError
from cli.local import record, removal
from cli.local.parts import Ingredients, Part, all_parts
from cli.local.places import Places
from cli.local.readiness import start_and_wait
from cli.local.record import Record, places_of
from cli.local.supervisor import PartState, Supervisor

READY_WITHIN: Final = 120.0  # seconds, for the parts of one step


@dataclass(frozen=True, slots=True)
class Stack:
    """A running stack."""

    record: Record
    places: Places

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    @property
    def name(self) -> str:
        return self.record.request.name

    @property
    def kubeconfig(self) -> str:
        """The administrator's."""
        return self.record.kubeconfig

    @property
    def redis_url(self) -> str:
        return self.record.addresses.redis_url

    @property
    def datastorage_url(self) -> str:
        return self.record.addresses.datastorage_url

    @property
    def reader(self) -> Mapping[str, str]:
        """The header that lets a request read the audit."""
        return {"Authorization": f"Bearer {self.places.read_token.read_text()}"}

    @property
    def metrics_urls(self) -> Mapping[str, str]:
        names = ("watcher", *self.workers, "datastorage", "flower")
        return {name: self.record.addresses.url(name, "/metrics") for name in names}

    @property
    def flower_url(self) -> str:
        return self.record.addresses.url("flower")

    @property
    def registry(self) -> str:
        return self.record.registry

    @property
    def workers(self) -> tuple[str, ...]:
        return self.record.request.worker_names

    @property
    def states(self) -> dict[str, PartState]:
        return self._supervisor.states()

    @property
    def restarts(self) -> dict[str, int]:
        """How often each part was started again."""
        return self._supervisor.restarts()

    @property
    def pids(self) -> dict[str, int]:
        """The processes as they are now; 0 for a part that is stopped."""
        return {name: state.pid for name, state in self.states.items()}

    @property
    def _supervisor(self) -> Supervisor:
        return Supervisor(self.places, Path(self.record.socket))

    def start(self, part: str) -> None:
        """Start a stopped part and return when it is ready."""
        start_and_wait(self._supervisor, self.places, [self._part(part)], READY_WITHIN, lambda _: None)

    def stop(self, part: str) -> None:
        """Stop a part with SIGTERM and leave it stopped."""
        self._supervisor.halt(part)

    def restart(self, part: str) -> None:
        """Stop a part and start it again; Redis comes back empty."""
        self.stop(part)
        self.start(part)

    def kill9(self, part: str) -> int:
        """Kill a part as a crash would and return its process id; supervisord starts it again."""
        pid = self.pids[part]
        if not pid:
            raise CommandError(f"{part} is not running")
        os.kill(pid, signal.SIGKILL)
        return pid

    def log(self, part: str) -> Path:
        return self.places.log(part)

    def down(self) -> None:
        """End every process and remove the directory; a second call does nothing."""
        removal.down(self.name)

    def _part(self, name: str) -> Part:
        for part in parts_of(self.record, self.places):
            if part.name == name:
                return part
        raise CommandError(f"there is no part {name}; there are {', '.join(self.states)}")


def find(name: str) -> Stack | None:
    """Return the stack of that name if it is up."""
    found = record.running(name)
    return None if found is None else Stack(found, places_of(name))


def parts_of(known: Record, places: Places) -> tuple[Part, ...]:
    """Return the parts of a stack as they were declared when it was started."""
    return all_parts(
        Ingredients(
            request=known.request,
            places=places,
            addresses=known.addresses,
            redis_server=known.redis_server,
            kubeconfig=known.kubeconfig,
        )
    )
