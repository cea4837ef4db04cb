"""Legal holds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision: str | None = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of holds; nothing is on hold yet."""
    op.create_table(
        "audit_holds",
        sa.Column("correlation_id", sa.String(255), nullable=False),
        sa.Column("reason", sa.String(1024), nullable=False),
        sa.Column("set_by", sa.String(255), nullable=False),
        sa.Column("requested_by", sa.String(200)),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("correlation_id", name="pk_audit_holds"),
    )


def downgrade() -> None:
    """Drop the holds; the events that tell of them stay."""
    op.drop_table("audit_holds")
