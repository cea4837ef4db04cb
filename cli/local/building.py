"""Start a stack: ground, storage, executor, in this order; ready or taken down again."""

from __future__ import annotations

import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final

import yaml

from cli.errors import CommandError, UsageError
from cli.local import ground, record
from cli.local.parts import STORAGE, migration, port_names
from cli.local.places import Places, choose_ports
from cli.local.readiness import Say, start_and_wait
from cli.local.record import Record, StackPhase, places_of
from cli.local.redis_server import find_or_install
from cli.local.removal import name_lock, remove, remove_stale
from cli.local.request import StackRequest, check, settings_document
from cli.local.secrets import make_secrets
from cli.local.stack import READY_WITHIN, Stack, parts_of
from cli.local.supervisor import Supervisor

# What a person has set for other purposes must not reach the parts: theirs is the settings file.
_NOT_INHERITED: Final = ("WFE_", "DATASTORAGE_", "FLOWER_", "KUBECONFIG", "CONFIG_PATH", "KUBERNETES_SERVICE_")


def up(request: StackRequest, *, say: Say = lambda _: None, detach: bool = True) -> Stack:
    """Start a stack and return when all its parts are ready; one that runs with the same options is returned as it is.

    Without `detach` it ends with this process, however that ends.

    Raises:
        UsageError: the request is wrong; nothing was started.
        CommandError: a part did not become ready; everything was taken down again.
    """
    check(request)
    remove_stale()
    with name_lock(request.name):
        there = record.running(request.name)
        if there is not None:
            if there.request != request:
                raise UsageError(
                    f"stack {request.name} runs with other options: `wfe local down` first, or choose another --name"
                )
            return Stack(there, places_of(request.name))
        remove(request.name)
        try:
            return _build(request, say, detach)
        except BaseException:
            remove(request.name)
            raise


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
    make_secrets(places)
    record.write(places, known)
    supervisor, process = Supervisor.start(places, parts_of(known, places), _environment(), detach=detach)
    known = replace(known, supervisor=process, socket=str(supervisor.socket_path))
    record.write(places, known)
    supervisor.wait_until_it_answers(process)
    with ThreadPoolExecutor(1) as pool:
        # The cluster takes seconds; Redis and DataStorage need none of it.
        coming = pool.submit(_prepare_ground, request, say, detach)
        storage = [part for part in parts_of(known, places) if part.name in STORAGE]
        _migrate(places)
        start_and_wait(supervisor, places, storage, READY_WITHIN, say)
        there = coming.result()
    _write_settings(known, places, there.login)
    executor = [part for part in parts_of(known, places) if part.name not in STORAGE]
    start_and_wait(supervisor, places, executor, READY_WITHIN, say)
    known = replace(known, registry=there.registry, phase=StackPhase.READY)
    record.write(places, known)
    return Stack(known, places)


def _prepare_ground(request: StackRequest, say: Say, detach: bool) -> ground.Ground:
    began = time.monotonic()
    there = ground.prepare(request, say, detach=detach)
    say(f"cluster: ready after {time.monotonic() - began:.1f} s")
    return there


def _write_settings(known: Record, places: Places, login: str) -> None:
    where = {
        "redis.url": known.addresses.redis_url,
        "audit.datastorage_url": known.addresses.datastorage_url,
        "audit.token_file": str(places.write_token),
        "audit.read_token_file": str(places.read_token),
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
