"""Deliver audit events under faults that are drawn, for as long as you like, and check after each episode.

`python -m tests.bench.audit_faults --database postgresql --episodes 40 --seed 1`. An episode is a race of three
flushers that do not know of each other under drawn faults, or kills in the middle of batches: of the service, or of
PostgreSQL. The seed fixes every draw, not how threads interleave; each episode says its own, and
`--seed S --episodes 1` repeats it.
"""

from __future__ import annotations

import argparse
import logging
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import redis

from tests.faults.audit.race import race, struck
from tests.faults.audit.stand import Service, Stand, stand
from tests.postgres_plugin import PostgresServer, discard, new_server
from tests.redis_plugin import RedisServer


def main() -> None:
    """Go through the episodes; the first one after which something is not as it must be ends with what."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--faults", type=int, default=80, help="of one race")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as place:
        cache = RedisServer("redis-server", Path(place))
        cache.start()
        server = new_server() if options.database == "postgresql" else None
        try:
            if server is not None:
                server.start()
            _campaign(options, Path(place), redis.Redis.from_url(cache.url), server)
        finally:
            if server is not None:
                discard(server)
            cache.stop()


def _campaign(options: argparse.Namespace, place: Path, client: redis.Redis, server: PostgresServer | None) -> None:
    url = server.create_database("campaign") if server is not None else f"sqlite:///{place}/audit.db"
    service = Service(place, url)
    service.prepare()
    kinds: Counter[str] = Counter()
    began = time.monotonic()
    with stand(service, client) as world:
        for seed in range(options.seed, options.seed + options.episodes):
            kind = _episode(world, seed, options.faults, server)
            kinds[kind] += 1
            events = sum(map(len, world.emitted.values()))
            print(f"seed {seed}: {kind}: {events} events in all, stored once, in order, chains verify", flush=True)
        lost = sum(code is None for _, code in world.proxy.outcomes)
        met = sum(fault is not None for fault, _ in world.proxy.outcomes)
        told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        print(f"{told}; {events} events in {len(world.proxy.outcomes)} requests, {met} met a fault, {lost} never")
        print(f"got an answer of DataStorage; {time.monotonic() - began:.0f} s")


def _episode(world: Stand, seed: int, faults: int, server: PostgresServer | None) -> str:
    rng = random.Random(seed)
    strikes: dict[str, Callable[[], None]] = {"service killed": world.restart}
    if server is not None:
        strikes["database killed"] = partial(_restart, server)
    kind = rng.choice(["race", "race", *strikes])
    if kind == "race":
        race(world, seed, faults)
    else:
        struck(world, f"struck-{seed}", [rng.randrange(1, 9) for _ in range(3)], strikes[kind])
    return kind


def _restart(server: PostgresServer) -> None:
    server.kill()
    server.start()


if __name__ == "__main__":
    main()
