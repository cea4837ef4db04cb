"""Several flushers at once, under faults: whoever has the turn loses it again and again, as if he had been paused."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta

from tasks.parts import Parts
from tests.faults.audit.proxy import Act, Fault, Says, Stage
from tests.faults.audit.stand import Stand
from tests.waiting import until

FLUSHERS = 3
STORIES = 6
QUICK: tuple[Act | Says, ...] = (
    *(Says(code) for code in (201, 202, 400, 401, 403, 408, 409, 413, 425, 429, 500, 502, 503)),
    *(Act.FIN, Act.RST) * 4,
)


def drawn(rng: random.Random, count: int) -> list[Fault]:
    """Draw faults that do not cost time."""
    return [Fault(rng.choice(list(Stage)), rng.choice(QUICK)) for _ in range(count)]


def race(world: Stand, seed: int, faults: int) -> None:
    """Let flushers that do not know of each other deliver while events come and exchanges go wrong; then check."""
    print(f"seed {seed}, {faults} faults")
    rng = random.Random(seed)
    world.proxy.then(*drawn(rng, faults))
    stop = threading.Event()
    broken: list[BaseException] = []

    def work(parts: Parts) -> None:
        try:
            while not stop.wait(0.002):
                world.client.delete("wfe:outbox:turn")
                world.turn(parts)
        except BaseException as error:
            broken.append(error)
            raise

    workers = [world.worker(timedelta(seconds=30), batch_size=rng.choice((3, 10, 40))) for _ in range(FLUSHERS)]
    threads = [threading.Thread(target=work, args=(parts,)) for parts in workers]
    for thread in threads:
        thread.start()
    try:
        stories = [f"race-{seed}-{number}" for number in range(STORIES)]

        def spent() -> bool:
            if world.outbox.size() < 500:  # or a slow machine would have more and more to do
                world.emit(rng.choice(stories), rng.randrange(1, 8))
            return world.proxy.spent or bool(broken)

        until(spent, 180, "every fault was met", every=0.005)
        until(lambda: not world.outbox.size() or broken, 180, "everything is delivered")
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert broken == []
    world.drain()
    world.check()


def struck(world: Stand, story: str, after: Sequence[int], strike: Callable[[], None]) -> None:
    """Deliver some hundred events, and strike each time so many more batches have reached DataStorage; then check."""
    for number in range(6):
        world.emit(f"{story}-{number}", 100)
    slow = world.worker(batch_size=20)
    stop = threading.Event()

    def deliver() -> None:
        while world.outbox.size() and not stop.wait(0.01):
            world.turn(slow)

    flusher = threading.Thread(target=deliver)
    flusher.start()
    try:
        for batches in after:
            until(_reached(world, world.proxy.forwarded + batches), 120, "batches are under way", every=0.001)
            strike()
        flusher.join(90)
    finally:
        stop.set()
        flusher.join(90)
    world.drain()
    world.check()


def _reached(world: Stand, batches: int) -> Callable[[], bool]:
    return lambda: world.proxy.forwarded >= batches or not world.outbox.size()
