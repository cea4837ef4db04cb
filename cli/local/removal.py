"""End stacks and remove what they left, however far they got. Whoever starts or removes one holds its name's lock."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cli.errors import CommandError
from cli.local import ground, record
from cli.local.parts import STORAGE
from cli.local.places import stacks_root
from cli.local.record import StackPhase, places_of
from cli.local.supervisor import Supervisor, shut_down
from devcluster.places import Busy, locked


def down(name: str) -> bool:
    """End a stack and remove what it left; return whether there was one."""
    with name_lock(name):
        return remove(name)


def remove_stale() -> None:
    """Remove what stacks left that have ended, or whose start was broken off."""
    for name in record.names():
        with suppress(Busy), name_lock(name, wait=False):
            known = record.read(places_of(name))
            # Whoever starts a stack holds the lock until it is ready.
            if known is None or known.phase is not StackPhase.READY or not known.alive():
                remove(name)


def remove(name: str) -> bool:
    """End what a stack has running and remove its directory, under its lock; return whether there was one."""
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
def name_lock(name: str, *, wait: bool = True) -> Iterator[None]:
    """Keep others from starting or removing the stack of that name. Raises Busy when not to wait."""
    with locked(stacks_root() / ".locks" / name, wait=wait):
        yield
