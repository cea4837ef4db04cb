"""What the routes below `/api/v1/audit/holds` do, from the body to the content of the answer. Runs in threads."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from datastorage.bodies import parse_json
from datastorage.events import Answer, refused
from datastorage.holds import AlreadyHeld, Holds, NotHeld
from datastorage.problems import Problem
from models.audit_hold import Hold, HoldAsk, read_ask
from models.audit_request import InvalidEvent
from models.audit_values import format_microseconds


@dataclass(frozen=True, slots=True)
class Holding:
    """Legal holds as the API offers them. `caller` is whom the request's token stands for."""

    holds: Holds

    def set(self, body: bytes, caller: str | None) -> Answer:
        """Set a hold: 201, or 200 when it was set before for the same reason."""
        ask = _read(body)
        try:
            hold, new = self.holds.set(ask, ask.by(caller))
        except AlreadyHeld as held:
            there = f"on hold since {format_microseconds(held.hold.set_at)} by {held.hold.set_by}: {held.hold.reason}"
            raise Problem("hold-exists", 409, there) from None
        return Answer(201 if new else 200, orjson.dumps(hold.document()), _log(hold))

    def lift(self, body: bytes, caller: str | None) -> Answer:
        """Lift a hold."""
        ask = _read(body)
        try:
            hold = self.holds.lift(ask, ask.by(caller))
        except NotHeld:
            raise Problem("no-hold", 404, "there is no such hold") from None
        return Answer(200, orjson.dumps(hold.document()), _log(hold))

    def all(self) -> Answer:
        """Return all holds."""
        found = [hold.document() for hold in self.holds.all()]
        return Answer(200, orjson.dumps({"holds": found}), {"holds": len(found)})


def _read(body: bytes) -> HoldAsk:
    document = parse_json(body)
    if not isinstance(document, dict):
        raise Problem("validation-error", 400, "must be a JSON object")
    try:
        return read_ask(document)
    except InvalidEvent as invalid:
        raise refused(invalid.problems) from None


def _log(hold: Hold) -> dict[str, object]:
    return {"correlation_id": hold.correlation_id} if hold.correlation_id else {"everything": True}
