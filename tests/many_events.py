"""Very many audit events, made by the database itself, for plans and figures; their hashes prove nothing."""

from __future__ import annotations

from sqlalchemy import Engine, text

from datastorage.engine import writing
from datastorage.settings import Driver
from models.audit_fields import CATEGORIES

DAYS = 90  # over which they are spread, the newest of them now
_COLUMNS = {
    "event_id": "{id}",
    "version": "'1.0'",
    "event_type": "'workflow.' || (i % 40)",
    "event_timestamp": "{at}",
    # Most are alike, as in life: workflow, success, info; the others are few.
    "event_category": "CASE WHEN i % 20 > 0 THEN 'workflow' {categories} END",
    "event_action": "'started'",
    "event_outcome": "CASE WHEN i % 20 = 1 THEN 'failure' WHEN i % 50 = 2 THEN 'pending' ELSE 'success' END",
    "correlation_id": "'rr-' || (i / 4)",
    "event_data": "'{{\"attempt\":1,\"about\":\"' || '{about}' || '\"}}'",
    "actor_type": "'service'",
    "actor_id": "'workflowexecution-controller'",
    "resource_type": "'WorkflowExecution'",
    "resource_id": "'restart-api-' || (i / 4)",
    "namespace": "'payments'",
    "severity": "CASE WHEN i % 40 = 3 THEN 'critical' ELSE 'info' END",
    "recorded_at": "{stored}",
    "chain_position": "1 + i % 4",
    "chain_hash": "{hash}",
}
_SQLITE = {
    "id": "printf('%032x', i)",
    "at": "strftime('%Y-%m-%d %H:%M:%S.000000', 'now', '-' || (i * {seconds} / {rows}) || ' seconds')",
    "stored": "strftime('%Y-%m-%d %H:%M:%S.000000', 'now')",
    "hash": "zeroblob(32)",
    "rows": "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {rows})",
    "from": "n",
}
_POSTGRESQL = {
    "id": "CAST(md5(CAST(i AS text)) AS uuid)",
    "at": "now() - make_interval(secs => i * {seconds} / {rows})",
    # Partitions are there from this month on.
    "stored": "date_trunc('month', now(), 'UTC') + make_interval(months => CAST(i / 41 % 4 AS integer))",
    "hash": "CAST(repeat('x', 32) AS bytea)",
    "rows": "",
    "from": "generate_series(CAST(0 AS bigint), {rows} - 1) AS i",
}


def fill(engine: Engine, rows: int) -> None:
    """Store so many events."""
    words = _SQLITE if engine.dialect.name == Driver.SQLITE else _POSTGRESQL
    numbers = {"rows": rows, "seconds": DAYS * 86_400}
    said = {name: word.format(**numbers) for name, word in words.items()}
    others = " ".join(f"WHEN i % 140 = {20 * n} THEN '{name}'" for n, name in enumerate(CATEGORIES))
    values = [value.format(**said, about="x" * 400, categories=others) for value in _COLUMNS.values()]
    insert = f"INSERT INTO audit_events ({', '.join(_COLUMNS)}) {said['rows']} SELECT {', '.join(values)} FROM "
    insert += said["from"]
    if engine.dialect.name == Driver.SQLITE:
        with writing(engine).begin() as connection:
            connection.exec_driver_sql(insert)
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.exec_driver_sql(insert.replace("%", "%%"))
        # As its own housekeeping does sooner or later; nothing does it on SQLite.
        connection.execute(text("VACUUM ANALYZE audit_events"))


def plan_of(engine: Engine, statement: object) -> list[str]:
    """Return the lines of a statement's plan."""
    compiled = statement.compile(engine, compile_kwargs={"literal_binds": True})  # type: ignore[attr-defined]
    explain = "EXPLAIN QUERY PLAN" if engine.dialect.name == Driver.SQLITE else "EXPLAIN"
    with engine.connect() as connection:
        # As text: a plan is made for the values.
        return [str(row[-1]) for row in connection.exec_driver_sql(f"{explain} {str(compiled).replace('%', '%%')}")]
