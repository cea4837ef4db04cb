"""supervisord as this project uses it: write its configuration, start it, speak to it over its Unix socket.

It restarts a part that dies. Every part, and supervisord itself where its owner wants that, ends with its parent
(bound.py), so that `kill -9` of any of them leaves nothing behind.
"""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

from supervisor.xmlrpc import SupervisorTransport

from cli.errors import CommandError
from cli.local.parts import Part
from cli.local.places import Places, fits_socket
from devcluster.processes import Process, end, identify, log_end

BOUND: Final = Path(__file__).with_name("bound.py")
STOP_WAIT: Final = 10  # seconds a part gets between SIGTERM and SIGKILL
_ANSWER_WITHIN: Final = 60.0  # seconds
_POLL: Final = 0.03  # seconds


@dataclass(frozen=True, slots=True)
class PartState:
    """What supervisord says about a part. `state` is its word: RUNNING, STARTING, BACKOFF, EXITED, FATAL, STOPPED."""

    name: str
    state: str
    pid: int
    seconds: int
    exit_status: int

    @property
    def runs(self) -> bool:
        return self.state in ("RUNNING", "STARTING") and self.pid > 0


# Those that this process started, to be waited for when they end.
_children: dict[int, subprocess.Popen[bytes]] = {}


class Supervisor:
    """The supervisord of one stack."""

    def __init__(self, places: Places, socket_path: Path) -> None:
        """Connect at the first request."""
        self._places = places
        self.socket_path = socket_path

    @classmethod
    def start(
        cls, places: Places, parts: Iterable[Part], environment: Mapping[str, str], *, detach: bool
    ) -> tuple[Supervisor, Process]:
        """Start supervisord with these parts, none of them running yet; it does not answer at once."""
        socket_path = _socket_path(places)
        places.supervisor_config.write_text(configuration(places, socket_path, parts))
        places.supervisor_config.chmod(0o600)  # it holds the password of Flower
        command = [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(places.supervisor_config)]
        if not detach:
            command = _bound(signal.SIGTERM, command)
        with places.log("supervisord-output").open("ab") as output:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=places.empty,
                env=dict(environment),
                start_new_session=True,
            )
        _children[child.pid] = child
        return cls(places, socket_path), identify(child.pid)

    def wait_until_it_answers(self, process: Process) -> None:
        """Return when supervisord takes requests. Raises CommandError when it ends instead."""
        deadline = time.monotonic() + _ANSWER_WITHIN
        while True:
            try:
                self.states()
                return
            except CommandError:
                if not process.alive() or time.monotonic() > deadline:
                    said = log_end(self._places.log("supervisord-output"))
                    raise CommandError(f"supervisord did not start:\n{said}") from None
            time.sleep(_POLL)

    def states(self) -> dict[str, PartState]:
        """Return the state of every part. Raises CommandError when supervisord does not answer."""
        return {state.name: state for state in map(_state, self._call("getAllProcessInfo"))}

    def run(self, name: str) -> None:
        """Start a part without waiting for it; one that runs is left alone.

        One that has died already (SPAWN_ERROR, "exited too quickly") is seen by its state, like one that dies later.
        """
        self._call("startProcess", name, False, ignored=("ALREADY_STARTED", "SPAWN_ERROR"))

    def halt(self, name: str) -> None:
        """Stop a part and wait until it has ended; it stays stopped."""
        self._call("stopProcess", name, True, ignored=("NOT_RUNNING",))

    def halt_all(self, names: Collection[str]) -> None:
        """Stop parts at once and wait until all have ended; a part that does not is killed by supervisord."""
        for name in names:
            self._call("stopProcess", name, False, ignored=("NOT_RUNNING",))
        deadline = time.monotonic() + STOP_WAIT + 2.0
        while any(state.pid for state in self.states().values() if state.name in names):
            if time.monotonic() > deadline:
                return
            time.sleep(_POLL)

    def restarts(self) -> dict[str, int]:
        """Count how often each part was started again, whoever asked for it."""
        return count_restarts(self._places.supervisor_log)

    def _call(self, method: str, *arguments: Any, ignored: tuple[str, ...] = ()) -> Any:
        transport = SupervisorTransport(None, None, f"unix://{self.socket_path}")
        try:
            proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
            return getattr(proxy.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            if any(fault.faultString.startswith(name) for name in ignored):
                return None
            raise CommandError(f"supervisord refuses {method} {' '.join(map(str, arguments))}: {fault}") from fault
        except (OSError, HTTPException, xmlrpc.client.Error) as error:
            raise CommandError(f"supervisord does not answer: {error}") from error
        finally:
            transport.close()


def shut_down(process: Process, parts: int) -> None:
    """End supervisord, which stops its parts first, one after the other; wait until both are gone."""
    end(process, STOP_WAIT + 2.0 + parts)
    child = _children.pop(process.pid, None)
    if child is not None:
        child.wait()


def _bound(number: signal.Signals, command: Sequence[str], nice: int = 0) -> list[str]:
    return [sys.executable, "-I", "-S", str(BOUND), str(int(number)), str(nice), *command]


def configuration(places: Places, socket_path: Path, parts: Iterable[Part]) -> str:
    """Return supervisord.conf. Parts start when asked, and again when they die."""
    head: dict[str, dict[str, object]] = {
        "unix_http_server": {"file": socket_path, "chmod": "0700"},
        "supervisord": {
            "logfile": places.supervisor_log,
            "logfile_maxbytes": 0,
            "pidfile": places.root / "supervisord.pid",
            "childlogdir": places.logs,
            "nocleanup": "true",
            "minfds": 1024,
        },
        "rpcinterface:supervisor": {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        },
    }
    programs = {f"program:{part.name}": _program(places, part) for part in parts}
    return "\n".join(
        f"[{section}]\n" + "".join(f"{key} = {_escaped(str(value))}\n" for key, value in options.items())
        for section, options in {**head, **programs}.items()
    )


def _program(places: Places, part: Part) -> dict[str, object]:
    # Without supervisord nobody waits for a part that ends slowly because another is gone already.
    command = _bound(signal.SIGKILL, part.command, part.nice)
    variables = ",".join(f'{name}="{value}"' for name, value in part.environment.items())
    return {
        "command": shlex.join(command),
        "directory": places.empty,
        **({"environment": variables} if variables else {}),
        "autostart": "false",
        "autorestart": "true",
        "startsecs": 1,
        "startretries": 20,
        "stopsignal": signal.SIGTERM.name.removeprefix("SIG"),
        "stopwaitsecs": STOP_WAIT,
        "redirect_stderr": "true",
        "stdout_logfile": places.log(part.name),
        "stdout_logfile_maxbytes": "20MB",
        "stdout_logfile_backups": 1,
    }


def _escaped(value: str) -> str:
    return value.replace("%", "%%")


def count_restarts(log: Path) -> dict[str, int]:
    """Read from supervisord's log how often each part was started after its first time."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return {}
    counts: dict[str, int] = {}
    for name in re.findall(r"spawned: '([^']+)' with pid", text):
        counts[name] = counts.get(name, -1) + 1
    return counts


def _state(answer: Mapping[str, Any]) -> PartState:
    seconds = max(answer["now"] - answer["start"], 0) if answer["pid"] else 0
    return PartState(answer["name"], answer["statename"], answer["pid"], seconds, answer["exitstatus"])


def _socket_path(places: Places) -> Path:
    path = places.root / "supervisor.sock"
    return path if fits_socket(path) else Path(tempfile.mkdtemp(prefix="wfe-")) / "supervisor.sock"
