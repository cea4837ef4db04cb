"""On PostgreSQL the events stand in one partition for each month in which they were stored; their rows are copied.

SQLite has no partitions, and no need of them. The present month and the next three get theirs here, so that the service
can start; every other one is made by the service.
"""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0003"
branch_labels = None
depends_on = None

_AHEAD = 3
_INDEXES = (
    ("correlation_id", "chain_position"),
    ("event_timestamp", "sequence"),
    ("correlation_id", "event_timestamp", "sequence"),
    ("event_type", "event_timestamp", "sequence"),
)


def upgrade() -> None:
    """Divide the events."""
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    op.execute("LOCK TABLE audit_events IN ACCESS EXCLUSIVE MODE")
    op.execute(
        "CREATE TABLE audit_events_divided (LIKE audit_events INCLUDING DEFAULTS) PARTITION BY RANGE (recorded_at)"
    )
    for year, month in _months(connection):
        bounds = f"FROM ('{_first(year, month)}') TO ('{_first(*_following(year, month))}')"
        op.execute(
            f"CREATE TABLE audit_events_{year:04}_{month:02} PARTITION OF audit_events_divided FOR VALUES {bounds}"
        )
    _replace("audit_events_divided", "sequence, recorded_at")


def downgrade() -> None:
    """Put all of them into one table again."""
    if op.get_bind().dialect.name != "postgresql":
        return
    op.execute("LOCK TABLE audit_events IN ACCESS EXCLUSIVE MODE")
    op.execute("CREATE TABLE audit_events_whole (LIKE audit_events INCLUDING DEFAULTS)")
    _replace("audit_events_whole", "sequence")


def _replace(table: str, key: str) -> None:
    """Copy the events into a table and let it take the place of theirs, key, sequence and indexes included."""
    op.execute(f"INSERT INTO {table} SELECT * FROM audit_events")
    # The sequence must outlive the table it belongs to.
    op.execute("ALTER SEQUENCE audit_events_sequence_seq OWNED BY NONE")
    op.execute("DROP TABLE audit_events")
    op.execute(f"ALTER TABLE {table} RENAME TO audit_events")
    op.execute("ALTER SEQUENCE audit_events_sequence_seq OWNED BY audit_events.sequence")
    op.execute(f"ALTER TABLE audit_events ADD CONSTRAINT pk_audit_events PRIMARY KEY ({key})")
    for columns in _INDEXES:
        op.create_index(f"ix_audit_events_{'_'.join(columns)}", "audit_events", list(columns))


def _months(connection: sa.Connection) -> list[tuple[int, int]]:
    """Return the months that have events, and the present one with those ahead, by the database's clock."""
    found = connection.execute(
        sa.text("SELECT DISTINCT date_trunc('month', recorded_at AT TIME ZONE 'UTC') FROM audit_events")
    ).scalars()
    months = {(first.year, first.month) for first in found}
    now: datetime = connection.execute(sa.text("SELECT now()")).scalar_one()
    month = (now.astimezone(UTC).year, now.astimezone(UTC).month)
    for _ in range(_AHEAD + 1):
        months.add(month)
        month = _following(*month)
    return sorted(months)


def _following(year: int, month: int) -> tuple[int, int]:
    return (year + 1, 1) if month == 12 else (year, month + 1)


def _first(year: int, month: int) -> str:
    return datetime(year, month, 1, tzinfo=UTC).isoformat()
