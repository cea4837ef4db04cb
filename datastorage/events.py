"""What the three routes of `/api/v1/audit` do, from a parsed request to the answer's content. Runs in a thread."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy.exc import SQLAlchemyError

from datastorage.bodies import parse_json
from datastorage.clock import Clock
from datastorage.metrics import Metrics
from datastorage.problems import Problem
from datastorage.query import read_query
from datastorage.repository import EventConflict, Repository, UnknownParent
from models.audit_fields import BATCH_SIZE
from models.audit_request import AuditRecord, FieldProblem, InvalidEvent, read_event
from models.audit_upkeep import OWN_TYPES
from models.audit_values import format_microseconds

_TOLD_EVENTS = 20  # of a batch, in the text for people; `errors` has all of them


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and content of an answer, and what the log may say about it."""

    status: int
    content: bytes
    log: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Events:
    """The audit events as the API offers them."""

    repository: Repository
    metrics: Metrics
    clock: Clock

    def read_one(self, body: bytes) -> AuditRecord:
        """Check one event."""
        document = parse_json(body)
        if isinstance(document, list):
            raise Problem("validation-error", 400, "must be a JSON object; arrays go to /api/v1/audit/events/batch")
        try:
            return self._read(document, self.clock.now())
        except InvalidEvent as invalid:
            raise refused(invalid.problems) from None

    def write_one(self, record: AuditRecord) -> Answer:
        """Store one event: 201, or 200 when it was stored before."""
        fresh = self._store([record], batch=False)
        content = {
            "event_id": str(record.event_id),
            "event_timestamp": format_microseconds(record.event_timestamp),
            "message": "Audit event created successfully" if fresh else "Audit event was stored before",
        }
        return Answer(201 if fresh else 200, orjson.dumps(content), _log([record], fresh))

    def read_batch(self, body: bytes) -> list[AuditRecord]:
        """Check all events of an array."""
        documents = parse_json(body)
        if not isinstance(documents, list):
            raise Problem("validation-error", 400, "the body must be a JSON array of events")
        if not documents:
            raise Problem("validation-error", 400, "batch cannot be empty")
        if len(documents) > BATCH_SIZE:
            detail = f"a batch has at most {BATCH_SIZE} events, this one has {len(documents)}"
            raise Problem("batch-size-exceeded", 400, detail)
        return self._read_batch(documents)

    def write_batch(self, records: Sequence[AuditRecord]) -> Answer:
        """Store all of the events, or none."""
        fresh = self._store(records, batch=True)
        content = {
            "event_ids": [str(record.event_id) for record in records],
            "message": f"{len(records)} audit events created successfully",
        }
        return Answer(201, orjson.dumps(content), _log(records, fresh))

    def find(self, parameters: Iterable[tuple[str, str]]) -> Answer:
        """Return one page of the events that match."""
        try:
            query = read_query(parameters, now=self.clock.now())
        except InvalidEvent as invalid:
            raise refused(invalid.problems) from None
        page = self.repository.find(query)
        content = {
            "data": [_shown(row) for row in page.rows],
            "pagination": {
                "limit": query.limit,
                "offset": query.offset,
                "total": page.total,
                "has_more": page.end is not None,
            },
            "next_cursor": str(page.end) if page.end else None,
        }
        log = {"events": len(page.rows)} | {name: value for name, value in query.filters if name == "correlation_id"}
        return Answer(200, orjson.dumps(content, option=orjson.OPT_UTC_Z), log)

    def _read_batch(self, documents: Sequence[object]) -> list[AuditRecord]:
        now = self.clock.now()
        records = []
        problems: dict[int, tuple[FieldProblem, ...]] = {}
        for index, document in enumerate(documents):
            try:
                records.append(self._read(document, now))
            except InvalidEvent as invalid:
                problems[index] = invalid.problems
        if problems:
            raise _invalid_batch(problems)
        return records

    def _read(self, document: object, now: datetime) -> AuditRecord:
        record = read_event(document, now=now, new_id=self.clock.new_id, past=self.clock.past_window)
        if record.event_type in OWN_TYPES:
            # Whoever could write them could make it look as if a hold had been lifted, or set and taken away.
            raise InvalidEvent((FieldProblem("event_type", "must not be one that DataStorage alone writes"),))
        return record

    def _store(self, records: Sequence[AuditRecord], *, batch: bool) -> int:
        """Store the records and return how many are new."""
        start = time.perf_counter()
        try:
            fresh = len(self.repository.store(records, self.clock.now()))
        except EventConflict as conflict:
            self.metrics.conflicts.inc()
            raise _conflict(conflict, batch=batch) from None
        except UnknownParent as unknown:
            problem = (FieldProblem("parent_event_id", "does not exist"),)
            raise _invalid_batch(dict.fromkeys(unknown.indexes, problem)) if batch else refused(problem) from None
        except SQLAlchemyError:
            self.metrics.failed.inc()
            raise
        self.metrics.write_seconds.observe(time.perf_counter() - start)
        self.metrics.written.inc(fresh)
        self.metrics.resent.inc(len(records) - fresh)
        return fresh


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    # The text of event_data is JSON already and goes out as it is.
    return {**row, "event_data": orjson.Fragment(row["event_data"]), "chain_hash": row["chain_hash"].hex()}


def _log(records: Sequence[AuditRecord], fresh: int) -> dict[str, Any]:
    correlations = sorted({record.correlation_id for record in records})
    told: dict[str, Any] = {"correlation_id": correlations[0]}
    if len(correlations) > 1:
        told = {"correlation_ids": correlations[:10], "correlations": len(correlations)}
    return {"events": len(records), "new": fresh, **told}


def refused(problems: tuple[FieldProblem, ...]) -> Problem:
    """Say which fields break the contract."""
    detail = "; ".join(map(str, problems))
    return Problem("validation-error", 400, detail, errors=[_named(problem) for problem in problems])


def _invalid_batch(problems: dict[int, tuple[FieldProblem, ...]]) -> Problem:
    told = [
        f"event at index {index}: {'; '.join(map(str, problems[index]))}" for index in list(problems)[:_TOLD_EVENTS]
    ]
    if len(problems) > _TOLD_EVENTS:
        told.append(f"and {len(problems) - _TOLD_EVENTS} more")
    errors = [{"index": index, **_named(problem)} for index, found in problems.items() for problem in found]
    return Problem("validation-error", 400, "; ".join(told), errors=errors)


def _named(problem: FieldProblem) -> dict[str, str]:
    return {"field": problem.field, "message": problem.message}


def _conflict(conflict: EventConflict, *, batch: bool) -> Problem:
    place = f"event at index {conflict.index}: " if batch else ""
    members: dict[str, Any] = {"index": conflict.index} if batch else {}
    return Problem("event-conflict", 409, f"{place}{conflict}", event_id=str(conflict.event_id), **members)
