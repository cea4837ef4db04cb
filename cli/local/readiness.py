"""Wait until parts are ready: ask each by its own means, notice one that dies. Durations in seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

import httpx

from cli.errors import CommandError
from cli.local.parts import Part
from cli.local.places import LOOPBACK, Places
from cli.local.supervisor import PartState, Supervisor
from devcluster.processes import log_end
from models.errors import Transient
from models.settings import RedisSettings
from tasks.redis_scripts.connection import connect, ping

Say = Callable[[str], None]

_POLL: Final = 0.05
_DEAD: Final = ("BACKOFF", "EXITED", "FATAL", "UNKNOWN")
_LOG_LINES: Final = 15


class PartDied(CommandError):
    """A part ended before it was ready; the message holds the end of its log."""


@dataclass(slots=True)
class Waiting:
    """Parts that were started together. `logs` is where each one's log ended before it was started."""

    supervisor: Supervisor
    places: Places
    parts: Mapping[str, Part]
    logs: Mapping[str, int]
    began: float
    first_pids: dict[str, int] = field(default_factory=dict)

    def wait(self, deadline: float, say: Say) -> None:
        """Return when all are ready. Raises PartDied, or CommandError after `deadline` seconds, naming who is not."""
        missing = dict(self.parts)
        with httpx.Client(timeout=2.0, trust_env=False) as http:
            while missing:
                states = self.supervisor.states()
                for name, part in list(missing.items()):
                    self._check_alive(states[name])
                    if not self._obstacle(part, states[name], http):
                        del missing[name]
                        say(f"{name}: ready after {time.monotonic() - self.began:.1f} s")
                if missing and time.monotonic() > self.began + deadline:
                    raise CommandError(self._complaint(missing, states, http, deadline))
                time.sleep(_POLL if missing else 0)

    def _check_alive(self, state: PartState) -> None:
        if state.pid:
            first = self.first_pids.setdefault(state.name, state.pid)
        restarted = state.pid and state.pid != first
        if state.state in _DEAD or restarted:
            said = log_end(self.places.log(state.name), _LOG_LINES) or "(its log is empty)"
            raise PartDied(f"{state.name} died while starting; the end of its log:\n{said}")

    def _obstacle(self, part: Part, state: PartState, http: httpx.Client) -> str:
        """Say what keeps a part from being ready, empty when nothing does."""
        if not state.runs:
            return f"supervisord says {state.state}"
        if part.redis_port and (silent := _redis_obstacle(part.redis_port)):
            return silent
        if part.url and (unready := _http_obstacle(part.url, http)):
            return unready
        if part.line and not _logged(self.places.log(part.name), part.line, self.logs.get(part.name, 0)):
            return f"its log does not say {part.line!r}"
        if not (part.url or part.line or part.redis_port) and state.state != "RUNNING":
            return f"supervisord says {state.state}"
        return ""

    def _complaint(
        self, missing: Mapping[str, Part], states: Mapping[str, PartState], http: httpx.Client, deadline: float
    ) -> str:
        lines = [f"not ready after {deadline:.0f} s:"]
        for name, part in missing.items():
            lines.append(f"{name}: {self._obstacle(part, states[name], http)}; the end of its log:")
            lines.append(log_end(self.places.log(name), _LOG_LINES))
        return "\n".join(lines)


def start_and_wait(supervisor: Supervisor, places: Places, parts: Iterable[Part], deadline: float, say: Say) -> None:
    """Start parts together and return when all are ready. Raises CommandError."""
    named = {part.name: part for part in parts}
    logs = {name: _size(places.log(name)) for name in named}
    began = time.monotonic()
    for name in named:
        supervisor.run(name)
    Waiting(supervisor, places, named, logs, began).wait(deadline, say)


def _redis_obstacle(port: int) -> str:
    try:
        with connect(RedisSettings(url=f"redis://{LOOPBACK}:{port}/0", socket_timeout=timedelta(seconds=1))) as client:
            ping(client)
    except Transient as error:
        return str(error)
    return ""


def _http_obstacle(url: str, http: httpx.Client) -> str:
    try:
        answer = http.get(url)
    except httpx.HTTPError as error:
        return f"{url}: {error}"
    return "" if answer.status_code == 200 else f"{url} answers {answer.status_code} {answer.text[:200]}"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _logged(path: Path, line: str, offset: int) -> bool:
    try:
        with path.open("rb") as log:
            log.seek(offset)
            return line.encode() in log.read()
    except OSError:
        return False
