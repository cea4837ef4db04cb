"""What tests ask by HTTP may take its time: a busy machine can pause for longer than the five seconds httpx waits."""

from __future__ import annotations

from pathlib import Path

import pytest

PATIENCE = 60.0
"""Seconds in place of httpx's default; who gives a timeout himself gets that."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lengthen httpx's default; where only unit tests run nobody asks, and it need not be imported."""
    if all("unit" in Path(item.path).parts for item in items):
        return
    from httpx._config import DEFAULT_TIMEOUT_CONFIG as DEFAULT  # the one that every function and client refers to

    DEFAULT.connect = DEFAULT.read = DEFAULT.write = DEFAULT.pool = PATIENCE
