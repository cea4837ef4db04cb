"""Signed checkpoints over the ends of the chains."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"
branch_labels = None
depends_on = None

_GROWN = "ix_audit_chains_grown"


def upgrade() -> None:
    """Make the tables of checkpoints; no chain has been seen by one yet."""
    op.add_column("audit_chains", sa.Column("checkpointed", sa.BigInteger(), nullable=False, server_default="0"))
    grown = sa.text("position <> checkpointed")
    op.create_index(_GROWN, "audit_chains", ["correlation_id"], postgresql_where=grown, sqlite_where=grown)
    op.create_table(
        "audit_checkpoints",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("previous", sa.LargeBinary(32), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("heads", sa.LargeBinary(32), nullable=False),
        sa.Column("chains", sa.BigInteger(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("key_id", sa.String(16), nullable=False),
        sa.Column("signature", sa.LargeBinary(64), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit_checkpoints"),
    )
    op.create_table(
        "audit_checkpoint_heads",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ordinal", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("correlation_id", sa.String(255), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("number", "ordinal", name="pk_audit_checkpoint_heads"),
    )
    op.create_index("ix_audit_checkpoint_heads_correlation_id", "audit_checkpoint_heads", ["correlation_id"])


def downgrade() -> None:
    """Drop the checkpoints; the chains stay."""
    op.drop_table("audit_checkpoint_heads")
    op.drop_table("audit_checkpoints")
    op.drop_index(_GROWN, "audit_chains")
    op.drop_column("audit_chains", "checkpointed")
