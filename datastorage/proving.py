"""What `/verify-chain` and `/checkpoints` do, from the body to the content of the answer. Runs in threads."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import orjson

from datastorage.bodies import parse_json
from datastorage.checkpoints import Checkpoints, Seals
from datastorage.clock import Clock
from datastorage.events import Answer, refused
from datastorage.problems import Problem
from datastorage.verification import Known, Report, Verification
from models.audit_fields import FIELD, LARGEST_INTEGER
from models.audit_request import FieldProblem
from models.audit_values import check_characters, format_microseconds
from models.audit_verify import Fault

log = logging.getLogger("datastorage.checkpoint")


@dataclass(frozen=True, slots=True)
class Proving:
    """The audit's proof of itself as the API offers it."""

    verification: Verification
    checkpoints: Checkpoints
    seals: Seals
    clock: Clock

    def checkpoint(self) -> Answer:
        """Take a checkpoint: 201, or 200 with the last one when nothing came since."""
        if self.seals.key is None:
            raise Problem("no-signing-key", 409, "checkpoints need a key: checkpoint.key_file")
        try:
            taken, new = self.checkpoints.take(self.seals.key)
        except OSError as error:
            log.error("the anchor file was not written", extra={"fields": {"error": error.strerror}})
            raise Problem("internal-error", 500, "the anchor file was not written; the log has the reason") from None
        if taken is None:
            raise Problem("nothing-to-sign", 409, "there are no events yet")
        return Answer(201 if new else 200, orjson.dumps(taken.document()), {"checkpoint": taken.number})

    def verify(self, body: bytes) -> Iterator[bytes]:
        """Yield the answer in parts: the faults as they are found, what was gone over at the end."""
        correlation_id, known = _read(parse_json(body) if body.strip() else {})
        report = Report()
        faults = self.verification.run(correlation_id, known, report)
        return self._told(correlation_id, report, faults)

    def _told(self, correlation_id: str | None, report: Report, faults: Generator[Fault | None]) -> Iterator[bytes]:
        opening = b'{"faults":['
        with closing(faults):
            for fault in faults:
                comma = b"," if report.faults > 1 else b""
                # White space where there is nothing to tell, so that the connection does not fall silent.
                yield opening + (comma + orjson.dumps(fault.document()) if fault else b"\n")
                opening = b""
        newest = report.newest
        removed = sum(removal.events for removal in report.removals)
        sealed = newest.events if newest and correlation_id is None else 0
        content = {
            "valid": not report.faults,
            "correlation_id": correlation_id,
            "chains": report.chains,
            "events": report.events,
            "checkpoints": report.checkpoints,
            "newest_checkpoint": newest.document() if newest else None,
            "removals": [removal.document() for removal in report.removals],
            "events_since": max(report.events + removed - sealed, 0) if correlation_id is None else None,
            "fault_count": report.faults,
            "verified_at": format_microseconds(self.clock.now()),
        }
        yield opening + b"]," + orjson.dumps(content)[1:]


def _read(document: object) -> tuple[str | None, Known | None]:
    if not isinstance(document, dict):
        raise Problem("validation-error", 400, "must be a JSON object")
    problems = []
    values: dict[str, Any] = {}
    for name, read in (("correlation_id", _correlation_id), ("checkpoint", _known)):
        try:
            values[name] = None if document.get(name) is None else read(document[name])
        except ValueError as error:
            problems.append(FieldProblem(name, str(error)))
    if problems:
        raise refused(tuple(problems))
    return values["correlation_id"], values["checkpoint"]


def _correlation_id(value: object) -> str:
    longest = FIELD["correlation_id"].longest
    if not isinstance(value, str) or not 1 <= len(value) <= longest:
        raise ValueError(f"must be a string of 1 to {longest} characters")
    return check_characters(value)


def _known(value: object) -> Known:
    if isinstance(value, Mapping):
        number, digest = value.get("number"), value.get("hash")
        if isinstance(number, float) and number.is_integer():
            number = int(number)  # JSON Schema: 5.0 is an integer
        if type(number) is int and 1 <= number <= LARGEST_INTEGER and isinstance(digest, str) and len(digest) == 64:
            try:
                return Known(number, bytes.fromhex(digest))
            except ValueError:
                pass
    raise ValueError("must be an object with the number and the hash of a checkpoint")
