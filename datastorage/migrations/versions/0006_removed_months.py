"""The signed stubs of months that retention removed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision: str | None = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of stubs; nothing was removed yet."""
    op.create_table(
        "audit_removals",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("month", sa.String(7), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("previous", sa.LargeBinary(32), nullable=False),
        sa.Column("chains", sa.BigInteger(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("stretches", sa.BigInteger(), nullable=False),
        sa.Column("gone", sa.LargeBinary(32), nullable=False),
        sa.Column("key_id", sa.String(16), nullable=False),
        sa.Column("signature", sa.LargeBinary(64), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit_removals"),
    )
    op.create_table(
        "audit_removed",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ordinal", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("correlation_id", sa.String(255), nullable=False),
        sa.Column("first_position", sa.BigInteger(), nullable=False),
        sa.Column("last_position", sa.BigInteger(), nullable=False),
        sa.Column("before", sa.LargeBinary(32), nullable=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("number", "ordinal", name="pk_audit_removed"),
    )
    op.create_index(
        "ix_audit_removed_correlation_id_first_position", "audit_removed", ["correlation_id", "first_position"]
    )


def downgrade() -> None:
    """Drop the stubs: what was removed is missing without a word from here on."""
    op.drop_table("audit_removed")
    op.drop_table("audit_removals")
