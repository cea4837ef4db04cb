"""The audit events and the ids that make them unique."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make both tables and the indexes of the queries."""
    op.create_table(
        "audit_event_ids",
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("content_hash", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name="pk_audit_event_ids"),
    )
    op.create_table(
        "audit_events",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.String(10), nullable=False),
        sa.Column("event_type", sa.String(100), nullable=False),
        sa.Column("event_timestamp", sa.DateTime(timezone=True), nullable=False),
        sa.Column("event_category", sa.String(50), nullable=False),
        sa.Column("event_action", sa.String(50), nullable=False),
        sa.Column("event_outcome", sa.String(20), nullable=False),
        sa.Column("correlation_id", sa.String(255), nullable=False),
        sa.Column("event_data", sa.Text(), nullable=False),
        sa.Column("actor_type", sa.String(50), nullable=False),
        sa.Column("actor_id", sa.String(255), nullable=False),
        sa.Column("resource_type", sa.String(100), nullable=False),
        sa.Column("resource_id", sa.String(255), nullable=False),
        sa.Column("namespace", sa.String(253)),
        sa.Column("cluster_name", sa.String(255)),
        sa.Column("severity", sa.String(20), nullable=False),
        sa.Column("duration_ms", sa.BigInteger()),
        sa.Column("parent_event_id", sa.Uuid()),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_audit_events"),
    )
    for first in ([], ["correlation_id"], ["event_type"]):
        columns = [*first, "event_timestamp", "sequence"]
        op.create_index(f"ix_audit_events_{'_'.join(columns)}", "audit_events", columns)


def downgrade() -> None:
    """Drop both tables with what is in them."""
    op.drop_table("audit_events")
    op.drop_table("audit_event_ids")
