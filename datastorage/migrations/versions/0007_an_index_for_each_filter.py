"""An index for each filter of the query that had none; each ends in the order of a query."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision: str | None = "0006"
branch_labels = None
depends_on = None

_FILTERS = ("event_category", "event_outcome", "severity")
_ORDER = ("event_timestamp", "sequence")


def upgrade() -> None:
    """Make the indexes."""
    for name in _FILTERS:
        op.create_index(_index(name), "audit_events", [name, *_ORDER])


def downgrade() -> None:
    """Drop them."""
    for name in reversed(_FILTERS):
        op.drop_index(_index(name), "audit_events")


def _index(name: str) -> str:
    return f"ix_audit_events_{name}"
