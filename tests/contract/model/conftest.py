"""Fixtures of this folder: Redis with a clock that the test sets."""

from __future__ import annotations

import pytest

from tasks.redis_scripts.connection import Client
from tests.contract.redis_room.set_clock import SetClock


@pytest.fixture
def set_clock(redis_client: Client) -> SetClock:
    return SetClock(redis_client)
