"""Reads beside a pass: a few threads that wait for an answer while the pass waits for another."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class ThreadsAside:
    """The port `Aside`; threads start with the first read and end with the process."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="aside")

    def __call__(self, read: Callable[[], T]) -> Callable[[], T]:
        return self._pool.submit(read).result
