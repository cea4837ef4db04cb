"""A DataStorage of a module's own on each database, behind the fault proxy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tests.faults.audit.stand import Service, Stand, stand
from tests.postgres_plugin import PostgresServer, running_server

BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Return a running server that tests may kill, but start again."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="module")
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as connected:
        yield connected


@pytest.fixture(scope="module")
def sqlite_stand(tmp_path_factory: pytest.TempPathFactory, client: redis.Redis) -> Iterator[Stand]:
    directory = tmp_path_factory.mktemp("sqlite")
    service = Service(directory, f"sqlite:///{directory}/audit.db")
    service.prepare()
    with stand(service, client) as made:
        yield made


@pytest.fixture(scope="module")
def postgres_stand(
    tmp_path_factory: pytest.TempPathFactory, client: redis.Redis, postgres: PostgresServer
) -> Iterator[Stand]:
    service = Service(tmp_path_factory.mktemp("postgresql"), postgres.create_database("faults"))
    service.prepare()
    with stand(service, client) as made:
        yield made
