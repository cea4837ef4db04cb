"""The tables of DataStorage, with the column widths of `models.audit_fields`.

`event_data` is kept as the canonical JSON text that was hashed: a JSON column type would rewrite numbers (1e2 becomes
100) and the hash could not be computed again from the row. Nothing points at `audit_events.sequence`, and the unique
key of an event lives in `audit_event_ids`, so that `audit_events` can become partitioned by month on PostgreSQL, where
a unique key must contain the partition key.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.types import TypeDecorator, Uuid

from models.audit_fields import FIELD
from models.audit_hold import REASON_LENGTH, REQUESTER_LENGTH

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)


class UtcInstant(TypeDecorator[datetime]):
    """An aware UTC instant with microseconds; SQLite, which knows no zones, stores it without one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn an aware instant into what the database takes."""
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn what the database gives into an aware instant."""
        if value is None or dialect.name != "sqlite":
            return value
        return value.replace(tzinfo=UTC)


def _text(name: str) -> String:
    return String(FIELD[name].longest)


# SQLite counts up by itself only in a column of exactly the type INTEGER.
_sequence = BigInteger().with_variant(Integer, "sqlite")

audit_event_ids = Table(
    "audit_event_ids",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("content_hash", LargeBinary(32), nullable=False),
)

_grown = text("position <> checkpointed")

# The end of each chain. Whoever adds to a chain holds its row, so that no two add to the same end.
audit_chains = Table(
    "audit_chains",
    metadata,
    Column("correlation_id", _text("correlation_id"), primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    # How many of its events the last checkpoint that names it has seen.
    Column("checkpointed", BigInteger, nullable=False, server_default=text("0")),
    Index("ix_audit_chains_grown", "correlation_id", postgresql_where=_grown, sqlite_where=_grown),
)

audit_checkpoints = Table(
    "audit_checkpoints",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("taken_at", UtcInstant, nullable=False),
    Column("previous", LargeBinary(32), nullable=False),
    Column("changed", BigInteger, nullable=False),
    Column("heads", LargeBinary(32), nullable=False),
    Column("chains", BigInteger, nullable=False),
    Column("events", BigInteger, nullable=False),
    Column("key_id", String(16), nullable=False),
    Column("signature", LargeBinary(64), nullable=False),
)

audit_checkpoint_heads = Table(
    "audit_checkpoint_heads",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("ordinal", BigInteger, primary_key=True, autoincrement=False),
    Column("correlation_id", _text("correlation_id"), nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Index(None, "correlation_id"),
)

audit_holds = Table(
    "audit_holds",
    metadata,
    # Empty: the hold on everything.
    Column("correlation_id", _text("correlation_id"), primary_key=True),
    Column("reason", String(REASON_LENGTH), nullable=False),
    Column("set_by", _text("actor_id"), nullable=False),
    Column("requested_by", String(REQUESTER_LENGTH)),
    Column("set_at", UtcInstant, nullable=False),
)

audit_removals = Table(
    "audit_removals",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("month", String(7), nullable=False),
    Column("removed_at", UtcInstant, nullable=False),
    Column("previous", LargeBinary(32), nullable=False),
    Column("chains", BigInteger, nullable=False),
    Column("events", BigInteger, nullable=False),
    Column("stretches", BigInteger, nullable=False),
    Column("gone", LargeBinary(32), nullable=False),
    Column("key_id", String(16), nullable=False),
    Column("signature", LargeBinary(64), nullable=False),
)

audit_removed = Table(
    "audit_removed",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("ordinal", BigInteger, primary_key=True, autoincrement=False),
    Column("correlation_id", _text("correlation_id"), nullable=False),
    Column("first_position", BigInteger, nullable=False),
    Column("last_position", BigInteger, nullable=False),
    Column("before", LargeBinary(32), nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Index(None, "correlation_id", "first_position"),
)

audit_events = Table(
    "audit_events",
    metadata,
    Column("sequence", _sequence, primary_key=True, autoincrement=True),
    Column("event_id", Uuid, nullable=False),
    Column("version", _text("version"), nullable=False),
    Column("event_type", _text("event_type"), nullable=False),
    Column("event_timestamp", UtcInstant, nullable=False),
    Column("event_category", _text("event_category"), nullable=False),
    Column("event_action", _text("event_action"), nullable=False),
    Column("event_outcome", _text("event_outcome"), nullable=False),
    Column("correlation_id", _text("correlation_id"), nullable=False),
    Column("event_data", Text, nullable=False),
    Column("actor_type", _text("actor_type"), nullable=False),
    Column("actor_id", _text("actor_id"), nullable=False),
    Column("resource_type", _text("resource_type"), nullable=False),
    Column("resource_id", _text("resource_id"), nullable=False),
    Column("namespace", _text("namespace")),
    Column("cluster_name", _text("cluster_name")),
    Column("severity", _text("severity"), nullable=False),
    Column("duration_ms", BigInteger),
    Column("parent_event_id", Uuid),
    Column("recorded_at", UtcInstant, nullable=False),
    Column("chain_position", BigInteger, nullable=False),
    Column("chain_hash", LargeBinary(32), nullable=False),
    Index(None, "correlation_id", "chain_position"),
    # Each ends in the order of a query, so that a page is read off the index backwards.
    Index(None, "event_timestamp", "sequence"),
    Index(None, "correlation_id", "event_timestamp", "sequence"),
    Index(None, "event_type", "event_timestamp", "sequence"),
    *(
        Index(f"ix_audit_events_{name}", name, "event_timestamp", "sequence")
        for name in ("event_category", "event_outcome", "severity")
    ),
)
