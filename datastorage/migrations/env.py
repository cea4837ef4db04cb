"""Run by Alembic; the connection, in its transaction, comes from datastorage.schema."""

from __future__ import annotations

from alembic import context

from models.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # the caller's transaction holds all of it, on both databases
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
