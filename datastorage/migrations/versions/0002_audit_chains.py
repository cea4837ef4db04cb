"""The chain of each correlation id; events that are there get theirs in the order in which they were stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from models.audit_chain import Head, content_hash, content_text, extended
from models.tables import UtcInstant

revision = "0002"
down_revision: str | None = "0001"
branch_labels = None
depends_on = None

_BY_CHAIN = "ix_audit_events_correlation_id_chain_position"
_HELP = "ix_audit_events_migration"
_PAGE = 1000
# As they are at this revision, whatever later ones make of them.
_EVENTS = sa.table(
    "audit_events",
    *(sa.column(name, sa.Uuid()) for name in ("event_id", "parent_event_id")),
    *(sa.column(name, UtcInstant()) for name in ("event_timestamp", "recorded_at")),
    *(sa.column(name, sa.BigInteger()) for name in ("sequence", "duration_ms")),
    *(
        sa.column(name, sa.String())
        for name in (
            "version", "event_type", "event_category", "event_action", "event_outcome", "correlation_id", "event_data",
            "actor_type", "actor_id", "resource_type", "resource_id", "namespace", "cluster_name", "severity",
        )
    ),
)  # fmt: skip
_LINKED = sa.table("audit_events", sa.column("sequence"), sa.column("chain_position"), sa.column("chain_hash"))
_CHAINS = sa.table("audit_chains", sa.column("correlation_id"), sa.column("position"), sa.column("hash"))


def upgrade() -> None:
    """Make the table of heads, the columns of the chain, and the chains."""
    op.create_table(
        "audit_chains",
        sa.Column("correlation_id", sa.String(255), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("correlation_id", name="pk_audit_chains"),
    )
    # SQLite cannot take a default away again; there it stays, and a row that came by it stands outside its chain.
    nothing = sa.text("''")
    op.add_column("audit_events", sa.Column("chain_position", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("audit_events", sa.Column("chain_hash", sa.LargeBinary(32), nullable=False, server_default=nothing))
    op.create_index(_HELP, "audit_events", ["correlation_id", "sequence"])
    connection = op.get_bind()
    _chain_stored(connection)
    op.drop_index(_HELP, "audit_events")
    op.create_index(_BY_CHAIN, "audit_events", ["correlation_id", "chain_position"])
    if connection.dialect.name == "postgresql":
        for column in ("chain_position", "chain_hash"):
            op.alter_column("audit_events", column, server_default=None)


def downgrade() -> None:
    """Drop the chains; the events stay."""
    op.drop_index(_BY_CHAIN, "audit_events")
    op.drop_column("audit_events", "chain_hash")
    op.drop_column("audit_events", "chain_position")
    op.drop_table("audit_chains")


def _chain_stored(connection: sa.Connection) -> None:
    """Link every event, in pages, whatever the size of the database."""
    order = (_EVENTS.c.correlation_id, _EVENTS.c.sequence)
    page = sa.select(_EVENTS).order_by(*order).limit(_PAGE)
    rows = connection.execute(page).mappings().all()
    chain, head = "", Head()
    while rows:
        places: list[dict[str, Any]] = []
        ended: list[tuple[str, Head]] = []
        for row in rows:
            if row["correlation_id"] != chain:
                ended.append((chain, head))
                chain, head = row["correlation_id"], Head()
            head = extended(head, content_hash(content_text(dict(row))), row["recorded_at"])
            places.append({"at": row["sequence"], "position": head.position, "hash": head.hash})
        _place(connection, places)
        _add_heads(connection, ended)
        after = (rows[-1]["correlation_id"], rows[-1]["sequence"])
        rows = connection.execute(page.where(sa.tuple_(*order) > after)).mappings().all()
    _add_heads(connection, [(chain, head)])


def _place(connection: sa.Connection, places: Sequence[Mapping[str, Any]]) -> None:
    values: dict[str, Any] = {"chain_position": sa.bindparam("position"), "chain_hash": sa.bindparam("hash")}
    connection.execute(sa.update(_LINKED).where(_LINKED.c.sequence == sa.bindparam("at")).values(values), places)


def _add_heads(connection: sa.Connection, ended: Sequence[tuple[str, Head]]) -> None:
    rows = [
        {"correlation_id": chain, "position": head.position, "hash": head.hash}
        for chain, head in ended
        if head.position
    ]
    if rows:
        connection.execute(sa.insert(_CHAINS), rows)
