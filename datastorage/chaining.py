"""The ends of chains in the database: held while somebody adds to them.

A writer holds the rows of all its chains until its transaction ends, taken in the order of their correlation ids, after
it has claimed its event ids: two writers wait for each other in one direction only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, text
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from datastorage.settings import Driver
from models.audit_chain import Head, extended
from models.audit_request import AuditRecord
from models.tables import audit_chains

_IDS = "unnest(CAST(:ids AS varchar[]))"
_BEGIN = text(
    f"INSERT INTO audit_chains (correlation_id, position, hash) SELECT *, 0, CAST('' AS bytea) FROM {_IDS} "
    "ON CONFLICT DO NOTHING"
)
_HOLD = text(
    "SELECT correlation_id, position, hash FROM audit_chains WHERE correlation_id = ANY(CAST(:ids AS varchar[])) "
    "ORDER BY correlation_id FOR UPDATE"
)
_MOVE = text(
    "UPDATE audit_chains SET position = moved.position, hash = moved.hash "
    "FROM unnest(CAST(:ids AS varchar[]), CAST(:positions AS bigint[]), CAST(:hashes AS bytea[])) "
    "AS moved (correlation_id, position, hash) WHERE audit_chains.correlation_id = moved.correlation_id"
)


@dataclass(frozen=True, slots=True)
class Linked:
    """An event and its place in its chain."""

    record: AuditRecord
    place: Head


def link_events(connection: Connection, records: Sequence[AuditRecord], recorded_at: datetime) -> list[Linked]:
    """Give each record its place at the end of its chain. Waits for whoever is adding to one of the chains."""
    heads = hold_heads(connection, {record.correlation_id for record in records})
    linked = []
    for record in records:
        place = extended(heads[record.correlation_id], record.content_hash, recorded_at)
        heads[record.correlation_id] = place
        linked.append(Linked(record, place))
    _move_heads(connection, heads)
    return linked


def hold_heads(connection: Connection, correlation_ids: Iterable[str]) -> dict[str, Head]:
    """Return the ends of chains, which nobody else can move until this transaction ends."""
    ids = sorted(correlation_ids)
    if connection.dialect.name == Driver.POSTGRESQL:
        connection.execute(_BEGIN, {"ids": ids})
        found = connection.execute(_HOLD, {"ids": ids})
    else:
        # The one writer of SQLite is this transaction.
        table = audit_chains.c
        ends = select(table.correlation_id, table.position, table.hash)
        found = connection.execute(ends.where(table.correlation_id.in_(ids)))
    there = {name: Head(position, bytes(value)) for name, position, value in found if position}
    return {name: there.get(name, Head()) for name in ids}


def _move_heads(connection: Connection, heads: Mapping[str, Head]) -> None:
    if connection.dialect.name == Driver.POSTGRESQL:
        positions, hashes = [head.position for head in heads.values()], [head.hash for head in heads.values()]
        connection.execute(_MOVE, {"ids": list(heads), "positions": positions, "hashes": hashes})
        return
    upsert = sqlite_insert(audit_chains)
    moved = {name: upsert.excluded[name] for name in ("position", "hash")}
    rows = [{"correlation_id": name, "position": head.position, "hash": head.hash} for name, head in heads.items()]
    connection.execute(upsert.on_conflict_do_update(index_elements=["correlation_id"], set_=moved), rows)
