"""Migrations: up from empty, down again, one at a time, and the same tables as the models."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect

from datastorage import schema
from models.tables import metadata


def is_partition(name: str | None) -> bool:
    """Say whether a table is a month of another."""
    return bool(re.fullmatch(r"audit_events_[0-9]{4}_[0-9]{2}", name or ""))


def tables(engine: Engine) -> set[str]:
    return {name for name in inspect(engine).get_table_names() if not is_partition(name)}


def test_one_head() -> None:
    assert len(ScriptDirectory.from_config(schema._config()).get_heads()) == 1


def test_up_and_down_and_up_again(empty_engine: Engine) -> None:
    assert schema.upgrade(empty_engine) == schema.head()
    assert tables(empty_engine) == {*metadata.tables, "alembic_version"}
    assert schema.upgrade(empty_engine) == schema.head()
    assert schema.downgrade(empty_engine, "base") is None
    assert tables(empty_engine) == {"alembic_version"}
    assert schema.upgrade(empty_engine) == schema.head()


def test_each_revision_up_and_down(empty_engine: Engine) -> None:
    scripts = ScriptDirectory.from_config(schema._config())
    revisions = [script.revision for script in scripts.walk_revisions()][::-1]
    for number, revision in enumerate(revisions):
        assert schema.upgrade(empty_engine, revision) == revision
        before = revisions[number - 1] if number else "base"
        schema.downgrade(empty_engine, before)
        assert schema.upgrade(empty_engine, revision) == revision


def test_the_migrations_make_what_the_models_say(empty_engine: Engine) -> None:
    """Types and lengths included: a column narrower than its field would fail on data that the API took."""
    schema.upgrade(empty_engine)
    with empty_engine.connect() as connection:
        whole = {"compare_type": True, "include_name": lambda name, kind, _: kind != "table" or not is_partition(name)}
        context = MigrationContext.configure(connection, opts=whole)
        assert compare_metadata(context, metadata) == []


def test_several_migrations_at_once(empty_engine: Engine) -> None:
    reached: list[Any] = []
    barrier = threading.Barrier(3)

    def migrate() -> None:
        barrier.wait()
        reached.append(schema.upgrade(empty_engine))

    threads = [threading.Thread(target=migrate) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reached == [schema.head()] * 3


def test_a_failed_migration_leaves_nothing(empty_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(schema, "current", fail)  # after the scripts have run, before the commit
        with pytest.raises(RuntimeError, match="power cut"):
            schema.upgrade(empty_engine)
    assert tables(empty_engine) == set()
