"""Verifying what is stored: chains against themselves, their recorded ends, signed checkpoints, and legal holds.

One snapshot, a few rows at a time, whatever the size of the database. Faults come as they are found; None stands for
"still at it", so that whoever waits for an answer hears something.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, false, func, select

from datastorage.checkpoints import Seals, from_columns
from datastorage.engine import reading
from datastorage.identity import Identities, check_count
from datastorage.keys import PublicKeys
from datastorage.reading_back import events_by_chain, keep_months, patient, place_of, streamed
from datastorage.removals import Gone, check_removals
from datastorage.standing import holds_without_event, standing
from models.audit_chain import Head, content_hash, content_text
from models.audit_checkpoint import Checkpoint
from models.audit_held import HoldWalk
from models.audit_removal import Removal
from models.audit_verify import ChainWalk, CheckpointWalk, Fault, FaultKind, Named, Placed, compare_end
from models.tables import audit_chains, audit_checkpoint_heads, audit_checkpoints, audit_events, audit_removed

_ENDS_AT_ONCE = 500
_SIGN_OF_LIFE = 5000  # events


@dataclass(frozen=True, slots=True)
class Known:
    """A checkpoint that the caller has seen before."""

    number: int
    hash: bytes


@dataclass(slots=True)
class Report:
    """What a verification went over, filled as it goes."""

    chains: int = 0
    events: int = 0
    checkpoints: int = 0
    newest: Checkpoint | None = None
    faults: int = 0
    removals: list[Removal] = field(default_factory=list)
    ends: list[tuple[str, Head]] = field(default_factory=list)


class Verification:
    """Verifies one database."""

    def __init__(self, engine: Engine, seals: Seals) -> None:
        self._reading = reading(engine)
        self._seals = seals
        self._trusted = seals.trusted | seals.key.public if seals.key else seals.trusted

    @property
    def trusted(self) -> PublicKeys:
        """The keys whose signatures count."""
        return self._trusted

    def run(self, correlation_id: str | None, known: Known | None, report: Report) -> Generator[Fault | None]:
        """Verify one chain, or everything; faults as they are found."""
        # Before the snapshot: a checkpoint is anchored after it was stored, so what is anchored now is in it.
        anchored = _size(self._seals.anchor)
        with self._reading.begin() as connection:
            patient(connection)
            keep_months(connection)
            for fault in self._faults(connection, correlation_id, known, report, anchored):
                if fault and correlation_id is not None and fault.correlation_id not in ("", correlation_id):
                    continue  # a checkpoint names other chains, too
                report.faults += fault is not None
                yield fault

    def _faults(
        self, connection: Connection, correlation_id: str | None, known: Known | None, report: Report, anchored: int
    ) -> Iterator[Fault | None]:
        report.removals = yield from check_removals(connection, self._trusted.fault_of, correlation_id)
        gone = Gone(connection, [removal.number for removal in report.removals])
        yield from _chains(connection, correlation_id, report, gone)
        yield from _lost_chains(connection, correlation_id, gone)
        yield from holds_without_event(connection, correlation_id)
        yield from self._checkpoints(connection, correlation_id, report, gone)
        if correlation_id is None:
            yield from _totals(connection, report)
            yield from _anchored(connection, self._seals.anchor, anchored)
            if not report.faults:
                yield from check_count(connection, report.events, report.removals)
        if known is not None:
            yield from _seen_before(connection, known, "the caller has seen")

    def _checkpoints(
        self, connection: Connection, correlation_id: str | None, report: Report, gone: Gone
    ) -> Iterator[Fault | None]:
        walk = CheckpointWalk(self._trusted.fault_of, every=correlation_id is None)
        rows = select(audit_checkpoints).order_by(audit_checkpoints.c.number)
        if correlation_id is not None:
            heads = audit_checkpoint_heads.c
            rows = rows.where(
                audit_checkpoints.c.number.in_(select(heads.number).where(heads.correlation_id == correlation_id))
            )
        for row in connection.execute(rows, execution_options={"yield_per": 100}).mappings():
            checkpoint = from_columns(dict(row))
            yield from walk.follow(checkpoint, _named(connection, checkpoint.number, gone))
            yield None
        report.checkpoints, report.newest = walk.count, walk.last


def _chains(connection: Connection, correlation_id: str | None, report: Report, gone: Gone) -> Iterator[Fault | None]:
    walk = ChainWalk(lambda name, end: report.ends.append((name, end)), gone.find)
    conditions = () if correlation_id is None else (audit_events.c.correlation_id == correlation_id,)
    identities = Identities(connection)
    holds = HoldWalk(lambda held: standing(connection, held), gone.behind)
    for row in events_by_chain(connection, *conditions):
        event = placed(row)
        faults = list(walk.follow(event))
        yield from faults or identities.add(event)
        yield from holds.follow(event, row, doubted=bool(faults))
        if len(report.ends) >= _ENDS_AT_ONCE:
            yield from _compare_ends(connection, report.ends, gone)
        if walk.events % _SIGN_OF_LIFE == 0:
            yield None
    walk.finish()
    yield from holds.finish()
    yield from identities.finish()
    yield from _compare_ends(connection, report.ends, gone)
    report.chains, report.events = walk.chains, walk.events


def placed(row: dict[str, Any]) -> Placed:
    """Return an event as it is stored now."""
    try:
        content = content_hash(content_text(row))
    except (TypeError, ValueError):
        content = b""  # what JSON cannot say was not written by the service
    return Placed(
        str(row["correlation_id"]), str(row["event_id"]), place_of(row), content, row["recorded_at"], row["sequence"]
    )


def _compare_ends(connection: Connection, ends: list[tuple[str, Head]], gone: Gone) -> Iterator[Fault]:
    table = audit_chains.c
    wanted = select(table.correlation_id, table.position, table.hash).where(
        table.correlation_id.in_([i for i, _ in ends])
    )
    recorded = {name: Head(position, bytes(value)) for name, position, value in connection.execute(wanted)}
    find = gone.among([name for name, end in ends if name in recorded and recorded[name].position > end.position])
    for name, found in ends:
        yield from compare_end(name, found, recorded.get(name), find)
    ends.clear()


def _lost_chains(connection: Connection, correlation_id: str | None, gone: Gone) -> Iterator[Fault | None]:
    table = audit_chains.c
    lost = select(table.correlation_id, table.position, table.hash).where(
        ~select(1).where(audit_events.c.correlation_id == table.correlation_id).exists()
    )
    if correlation_id is not None:
        lost = lost.where(table.correlation_id == correlation_id)
    rows = streamed(connection, lost.order_by(table.correlation_id))
    while page := list(islice(rows, _ENDS_AT_ONCE)):
        find = gone.among([name for name, _, _ in page])
        for name, position, value in page:
            yield from compare_end(name, Head(), Head(position, bytes(value)), find)
        yield None


def _named(connection: Connection, number: int, gone: Gone) -> Iterator[Named]:
    """Yield the ends that a checkpoint names, each with the hash of the event that is there now, or was removed."""
    heads, events = audit_checkpoint_heads, audit_events
    there = (events.c.correlation_id == heads.c.correlation_id) & (events.c.chain_position == heads.c.position)
    covered = gone.covers(heads.c.correlation_id, heads.c.position) if gone.numbers else false()
    rows = (
        select(heads.c.ordinal, heads.c.correlation_id, heads.c.position, heads.c.hash, events.c.chain_hash)
        .add_columns(audit_removed.c.last_position, audit_removed.c.hash)
        .select_from(heads.outerjoin(events, there).outerjoin(audit_removed, covered))
        .where(heads.c.number == number)
        .order_by(heads.c.ordinal)
    )
    last = 0
    for ordinal, name, position, value, stored, removed_to, removed_hash in streamed(connection, rows):
        if ordinal == last:
            continue  # two events in one place, which the walk over the chains has told
        last = ordinal
        # The hash of an event within a stretch is gone with it.
        removed = None if removed_to is None else removed_hash if removed_to == position else value
        found = removed if stored is None else stored
        yield name, Head(position, bytes(value)), None if found is None else bytes(found)


def _totals(connection: Connection, report: Report) -> Iterator[Fault]:
    """Compare what the chains say of checkpoints with the last of them: it may have been removed."""
    seen = select(func.coalesce(func.sum(audit_chains.c.checkpointed), 0), func.count())
    events, chains = connection.execute(seen.where(audit_chains.c.checkpointed > 0)).one()
    last = report.newest
    if (int(events), chains) != ((last.events, last.chains) if last else (0, 0)):
        number = last.number if last else 0
        told = f"the last checkpoint has seen {last.events} events in {last.chains} chains" if last else "there is none"
        detail = f"{told}, the chains say {events} in {chains}: a checkpoint or the record of a chain was removed"
        yield Fault(kind=FaultKind.CHECKPOINT, detail=detail, checkpoint=number)


def _size(anchor: Path | None) -> int:
    return anchor.stat().st_size if anchor is not None and anchor.exists() else 0


def _anchored(connection: Connection, anchor: Path | None, size: int) -> Iterator[Fault]:
    """Compare with the anchor's first `size` bytes; a line that was being written then is left out."""
    if anchor is None or not size:
        return
    read = 0
    with anchor.open("rb") as lines:
        for line in lines:
            read += len(line)
            if read > size:
                return
            try:
                document = json.loads(line)
                known = Known(int(document["number"]), bytes.fromhex(document["hash"]))
            except (ValueError, KeyError, TypeError):
                yield Fault(kind=FaultKind.CHECKPOINT, detail="a line of the anchor file cannot be read")
                continue
            yield from _seen_before(connection, known, "the anchor file names")


def _seen_before(connection: Connection, known: Known, who: str) -> Iterator[Fault]:
    row = connection.execute(select(audit_checkpoints).where(audit_checkpoints.c.number == known.number)).mappings()
    found = row.first()
    if found is None:
        detail = (
            f"{who} checkpoint {known.number}, which is not there: an older database was restored, or its end removed"
        )
    elif from_columns(dict(found)).hash != known.hash:
        detail = f"{who} another checkpoint {known.number}: it was replaced, or an older database was restored"
    else:
        return
    yield Fault(kind=FaultKind.CHECKPOINT, detail=detail, checkpoint=known.number)
