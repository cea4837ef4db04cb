"""Start and stop local stacks, and find those that run. `cli.local.up` is how anybody gets one."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import yaml

from cli.errors import CommandError, UsageError
from cli.local import ground, record
from cli.local.parts import STORAGE, Ingredients, Part, all_parts, migration, port_names
from cli.local.places import Places, choose_ports, stacks_root
from cli.local.readiness import Say, start_and_wait
from cli.local.record import Record, StackPhase, places_of
from cli.local.redis_server import find_or_install
from cli.local.request import StackRequest, check, settings_document
from cli.local.supervisor import PartState, Supervisor, shut_down
from devcluster.places import Busy, locked

READY_WITHIN: Final = 120.0  # seconds, for the parts of one step
# What a person has set for other purposes must not reach the parts: theirs is the settings file.
_NOT_INHERITED: Final = ("WFE_", "DATASTORAGE_", "FLOWER_", "KUBECONFIG", "CONFIG_PATH", "KUBERNETES_SERVICE_")


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
        down(self.name)

    def _part(self, name: str) -> Part:
        for part in _parts(self.record, self.places):
            if part.name == name:
                return part
        raise CommandError(f"there is no part {name}; there are {', '.join(self.states)}")


def up(request: StackRequest, *, say: Say = lambda _: None, detach: bool = True) -> Stack:
    """Start a stack and return when all its parts are ready; one that runs with the same options is returned as it is.

    Without `detach` it ends with this process, however that ends.

    Raises:
        UsageError: the request is wrong; nothing was started.
        CommandError: a part did not become ready; everything was taken down again.
    """
    check(request)
    remove_stale()
    with _lock(request.name):
        there = record.running(request.name)
        if there is not None:
            if there.request != request:
                raise UsageError(
                    f"stack {request.name} runs with other options: `wfe local down` first, or choose another --name"
                )
            return Stack(there, places_of(request.name))
        _remove(request.name)
        try:
            return _build(request, say, detach)
        except BaseException:
            _remove(request.name)
            raise


def down(name: str) -> bool:
    """End a stack and remove what it left; return whether there was one."""
    with _lock(name):
        return _remove(name)


def remove_stale() -> None:
    """Remove what stacks left whose supervisord is gone and that nobody is starting or stopping now."""
    for name in record.names():
        with suppress(Busy), _lock(name, wait=False):
            known = record.read(places_of(name))
            if known is None or not known.alive():
                _remove(name)


def find(name: str) -> Stack | None:
    """Return the stack of that name if it is up."""
    found = record.running(name)
    return None if found is None else Stack(found, places_of(name))


def _build(request: StackRequest, say: Say, detach: bool) -> Stack:
    known = Record(
        request=request,
        ports=choose_ports(port_names(request), request.ports),
        redis_server=find_or_install(say),
        kubeconfig=ground.kubeconfig_of(request),
        owned_cluster=ground.owned_cluster(request),
    )
    places = places_of(request.name)
    places.make()
    places.flower_password.touch(mode=0o600)
    places.flower_password.write_text(secrets.token_urlsafe(18))
    record.write(places, known)
    supervisor, process, socket = Supervisor.start(places, _parts(known, places), _environment(), detach=detach)
    known = replace(known, supervisor=process, socket=str(socket))
    record.write(places, known)
    with ThreadPoolExecutor(1) as pool:
        # The cluster takes seconds; Redis and DataStorage need none of it.
        coming = pool.submit(_prepare_ground, request, say, detach)
        storage = [part for part in _parts(known, places) if part.name in STORAGE]
        _migrate(places)
        start_and_wait(supervisor, places, storage, READY_WITHIN, say)
        there = coming.result()
    _write_settings(known, places, there.login)
    executor = [part for part in _parts(known, places) if part.name not in STORAGE]
    start_and_wait(supervisor, places, executor, READY_WITHIN, say)
    known = replace(known, registry=there.registry, phase=StackPhase.READY)
    record.write(places, known)
    return Stack(known, places)


def _prepare_ground(request: StackRequest, say: Say, detach: bool) -> ground.Ground:
    began = time.monotonic()
    there = ground.prepare(request, say, detach=detach)
    say(f"cluster: ready after {time.monotonic() - began:.1f} s")
    return there


def _parts(known: Record, places: Places) -> tuple[Part, ...]:
    return all_parts(
        Ingredients(
            request=known.request,
            places=places,
            addresses=known.addresses,
            redis_server=known.redis_server,
            kubeconfig=known.kubeconfig,
        )
    )


def _write_settings(known: Record, places: Places, login: str) -> None:
    where = {
        "redis.url": known.addresses.redis_url,
        "audit.datastorage_url": known.addresses.datastorage_url,
        "kubernetes.kubeconfig": login,
    }
    places.settings.write_text(yaml.safe_dump(settings_document(known.request.settings, where)))


def _migrate(places: Places) -> None:
    command, variables = migration(places)
    done = subprocess.run(
        command, env={**_environment(), **variables}, cwd=places.empty, capture_output=True, text=True, check=False
    )
    places.log("migration").write_text(done.stdout + done.stderr)
    if done.returncode:
        raise CommandError(f"datastorage migrate failed with code {done.returncode}:\n{done.stderr.strip()[-2000:]}")


def _environment() -> dict[str, str]:
    """Return this process's environment without what was meant for other purposes: the parts have their own file."""
    kept = ("WFE_CACHE_DIR", "WFE_STATE_DIR")
    return {
        name: value
        for name, value in os.environ.items()  # noqa: TID251 - handed on to the parts, not read
        if name in kept or not name.startswith(_NOT_INHERITED)
    }


def _remove(name: str) -> bool:
    """End what a stack has running, however far it got, and remove its directory."""
    places = places_of(name)
    known = record.read(places)
    if known is None:
        shutil.rmtree(places.root, ignore_errors=True)
        return False
    if known.supervisor is not None and known.alive():
        with suppress(CommandError):
            # What needs Redis ends before Redis does, and all of it at once.
            supervisor = Supervisor(places, Path(known.socket))
            supervisor.halt_all([name for name in supervisor.states() if name not in STORAGE])
            supervisor.halt_all(STORAGE)
        shut_down(known.supervisor, len(known.ports))
    ground.release(known.owned_cluster)
    if known.socket and not Path(known.socket).is_relative_to(places.root):
        shutil.rmtree(Path(known.socket).parent, ignore_errors=True)
    shutil.rmtree(places.root, ignore_errors=True)
    return True


@contextmanager
def _lock(name: str, *, wait: bool = True) -> Iterator[None]:
    with locked(stacks_root() / ".locks" / name, wait=wait):
        yield
