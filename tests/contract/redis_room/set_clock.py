"""A clock for the scripts that tests set: the microseconds in one key of Redis."""

from __future__ import annotations

from datetime import datetime, timedelta

from tasks.redis_scripts.connection import Client
from tasks.redis_scripts.instants import from_us

CLOCK_KEY = "test:clock"
LUA = f"local function time_us() return tonumber(redis.call('GET', '{CLOCK_KEY}')) end"
START_US = 1_800_000_000_123_000


class SetClock:
    """Redis TIME as a test wants it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.microseconds = START_US
        self._write()

    @property
    def now(self) -> datetime:
        return from_us(self.microseconds)

    def advance(self, span: timedelta) -> None:
        self.microseconds += span // timedelta(microseconds=1)
        self._write()

    def _write(self) -> None:
        self._client.set(CLOCK_KEY, self.microseconds)
