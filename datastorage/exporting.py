"""Exporting chains as JSON Lines that can be verified without the service, with a signed manifest.

Chains go out whole, each that has an event stored in the span asked for: half a chain would prove nothing. The last
line holds the manifest, the text that is signed; it counts the lines before it and has their SHA-256.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Engine, select

from datastorage.checkpoints import Seals, from_columns
from datastorage.clock import Clock
from datastorage.engine import reading
from datastorage.events import refused
from datastorage.query import read_span
from datastorage.reading_back import events_by_chain, keep_months, patient, streamed
from datastorage.removals import removal_of, stretches_of
from datastorage.standing import TOLD_IN, standing_holds
from models.audit_chain import content_text
from models.audit_request import InvalidEvent
from models.audit_values import canonical_json, format_microseconds
from models.tables import audit_chains, audit_checkpoint_heads, audit_checkpoints, audit_events, audit_removals

FORM = "kubernaut audit export 1"
_LINES_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Export:
    """Exports of one database."""

    engine: Engine
    seals: Seals
    clock: Clock

    def lines(self, parameters: Iterable[tuple[str, str]]) -> Iterator[bytes]:
        """Return the export in parts of whole lines. Raises Problem for a wrong parameter."""
        now = self.clock.now()
        try:
            since, until = read_span(parameters, now=now)
        except InvalidEvent as wrong:
            raise refused(wrong.problems) from None
        return self._parts(since, until, now)

    def _parts(self, since: datetime | None, until: datetime | None, now: datetime) -> Iterator[bytes]:
        digest = hashlib.sha256()
        lines: list[bytes] = []
        count = 0
        for line in self._data(since, until):
            lines.append(line + b"\n")
            if len(lines) >= _LINES_AT_ONCE:
                part = b"".join(lines)
                digest.update(part)
                count += len(lines)
                lines.clear()
                yield part
        rest = b"".join(lines)
        digest.update(rest)
        manifest = {
            "form": FORM,
            "since": since and format_microseconds(since),
            "until": until and format_microseconds(until),
            "taken_at": format_microseconds(now),
            "lines": count + len(lines),
            "holds": True,  # those that stand are in it
            "sha256": digest.hexdigest(),
            "key_id": self.seals.key.key_id if self.seals.key else None,
        }
        text = canonical_json(manifest)
        signature = self.seals.key.sign(text.encode()).hex() if self.seals.key else None
        yield rest + orjson.dumps({"manifest": text, "signature": signature}) + b"\n"

    def _data(self, since: datetime | None, until: datetime | None) -> Iterator[bytes]:
        with reading(self.engine).begin() as connection:
            patient(connection)
            keep_months(connection)
            # Both before the events, so that whoever follows the chains knows what is held and what is gone.
            for held, terms in standing_holds(connection, *_within(TOLD_IN, since, until)):
                yield canonical_json({"hold": {"correlation_id": held, **terms.document()}}).encode()
            for stub in connection.execute(select(audit_removals).order_by(audit_removals.c.number)).mappings().all():
                yield canonical_json({"removal": removal_of(dict(stub)).document()}).encode()
                for stretch in stretches_of(connection, stub["number"]):
                    yield canonical_json({"gone": stretch.document()}).encode()
            for row in events_by_chain(connection, *_within(audit_events.c.correlation_id, since, until)):
                yield event_line(row)
            ends = select(audit_chains.c.correlation_id, audit_chains.c.position, audit_chains.c.hash)
            ends = ends.where(*_within(audit_chains.c.correlation_id, since, until)).order_by(
                audit_chains.c.correlation_id
            )
            for name, position, value in streamed(connection, ends):
                yield canonical_json({"end": [name, position, bytes(value).hex()]}).encode()
            checkpoints = select(audit_checkpoints).order_by(audit_checkpoints.c.number)
            for found in connection.execute(checkpoints, execution_options={"yield_per": 100}).mappings():
                checkpoint = from_columns(dict(found))
                yield canonical_json({"checkpoint": checkpoint.document()}).encode()
                heads = audit_checkpoint_heads.c
                named = select(heads.correlation_id, heads.position, heads.hash)
                named = named.where(heads.number == checkpoint.number).order_by(heads.ordinal)
                for name, position, value in streamed(connection, named):
                    yield canonical_json({"head": [name, position, bytes(value).hex()]}).encode()


def event_line(row: dict[str, Any]) -> bytes:
    """Write one event with its place."""
    recorded = row["recorded_at"]
    around = canonical_json(
        {
            "hash": row["chain_hash"].hex(),
            "position": row["chain_position"],
            "recorded_at": format_microseconds(recorded),
        }
    )
    return f'{{"event":{_content(row)},{around[1:]}'.encode(errors="replace")


def _content(row: dict[str, Any]) -> str:
    """Return the event as canonical JSON; what somebody made unreadable goes out as text, which no hash will fit."""
    data = row["event_data"]
    try:
        orjson.loads(data)
        if "\n" not in data:
            return content_text(row)
    except (orjson.JSONDecodeError, TypeError, ValueError):
        pass
    shown = {
        name: str(value) for name, value in row.items() if value is not None and name in ("event_id", "event_data")
    }
    return canonical_json({**shown, "correlation_id": str(row["correlation_id"])})


def _within(chain: ColumnElement[str], since: datetime | None, until: datetime | None) -> list[Any]:
    if since is None and until is None:
        return []
    other = audit_events.alias()
    found = select(1).where(other.c.correlation_id == chain)
    if since is not None:
        found = found.where(other.c.recorded_at >= since)
    if until is not None:
        found = found.where(other.c.recorded_at <= until)
    return [found.correlate_except(other).exists()]
