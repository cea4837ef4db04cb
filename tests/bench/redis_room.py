"""Calls a second of each script: `python -m tests.bench.redis_room`. Its own Redis, one thread and sixteen."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

from models.hold import Mine, Owner
from models.keys import Key
from models.settings import RedisSettings
from tasks.redis_scripts.connection import connect
from tasks.redis_scripts.hold import Holds
from tasks.redis_scripts.outbox import Outbox
from tasks.redis_scripts.queue import Claim, WorkQueue
from tests.redis_plugin import RedisServer

SECONDS = 1.0
THREADS = 16
BORN = datetime(2026, 5, 1, tzinfo=UTC)
Step = Callable[[int], int]


def rate(step: Step, threads: int) -> float:
    """Run a step again and again; it returns how many calls it made."""
    end = time.monotonic() + SECONDS

    def repeat(worker: int) -> int:
        calls, number = 0, worker
        while time.monotonic() < end:
            calls += step(number)
            number += threads
        return calls

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(repeat, range(threads))) / SECONDS


def steps(url: str) -> dict[str, Step]:
    """Return what is measured."""
    client = connect(RedisSettings(url=url))
    queue = WorkQueue(client, "bench", horizon=timedelta(minutes=1))
    holds, outbox = Holds(client, "bench"), Outbox(client, "bench")
    holds.open_gate()
    thousand = [Key("ns", f"many-{number}") for number in range(1000)]
    body = b"x" * 1000

    def one_pass(number: int) -> int:
        key = Key("ns", f"n{number}")
        queue.notify([key])
        claim = queue.start(key)
        if isinstance(claim, Claim):
            queue.done(claim, None)
        return 3

    def many(_: int) -> int:
        queue.notify(thousand)
        return len(thousand)

    def take_and_release(number: int) -> int:
        target = f"ns/deployment/{number % 500}"
        view = holds.take(target, Owner(f"uid-{number}", Key("ns", f"n{number}"), BORN))
        if isinstance(view, Mine):
            holds.release(target, f"uid-{number}", view.fence, clean=True)
        return 2

    def look(number: int) -> int:
        holds.look(f"ns/deployment/{number % 500}", "uid")
        return 1

    def append(number: int) -> int:
        outbox.append(f"uid-{number}", Key("ns", f"n{number}"), [(f"event-{number}", body)])
        return 1

    def deliver(number: int) -> int:
        outbox.append(f"uid-{number}", thousand[0], [(f"batched-{number}-{event}", body) for event in range(500)])
        outbox.acknowledge(outbox.take(500))
        return 500

    return {
        "notify + start + done (calls)": one_pass,
        "notify, 1000 keys at once (keys)": many,
        "take + release (calls)": take_and_release,
        "look (calls)": look,
        "append of 1 kB (calls)": append,
        "append + take + acknowledge (events)": deliver,
    }


def main() -> None:
    executable = shutil.which("redis-server")
    if executable is None:
        sys.exit("redis-server is not installed")
    with tempfile.TemporaryDirectory() as directory:
        server = RedisServer(executable, Path(directory))
        server.start()
        try:
            for name, step in steps(server.url).items():
                print(f"{name:36} 1 thread {rate(step, 1):>9,.0f}/s   {THREADS} threads {rate(step, THREADS):>9,.0f}/s")
        finally:
            server.stop()


if __name__ == "__main__":
    main()
