"""Legal holds in the database: set and lifted in one transaction with the audit event that tells of it.

Whoever sets one waits for a removal that is being decided, and a removal for him: a month is never removed with a hold
that was there before.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, insert, select, text

from datastorage.clock import Clock
from datastorage.engine import reading, writing
from datastorage.partitions import in_month
from datastorage.repository import append
from datastorage.settings import Driver
from models.audit_hold import EVERYTHING, Hold, HoldAsk
from models.audit_upkeep import HOLDS_CHAIN, UpkeepType, upkeep_record
from models.tables import audit_events, audit_holds

_LOCK = 7_233_871_607  # any number of its own, the same for every release
_H = audit_holds.c


class AlreadyHeld(Exception):
    """There is a hold already, for another reason."""

    def __init__(self, hold: Hold) -> None:
        super().__init__("there is a hold already")
        self.hold = hold


class NotHeld(Exception):
    """There is no such hold."""


class Holds:
    """The holds of one database."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def set(self, ask: HoldAsk, by: str) -> tuple[Hold, bool]:
        """Set a hold and say whether it is new: asked for again with the same reason it stays as it is.

        Raises AlreadyHeld for another reason.
        """
        now = self._clock.now()
        return in_month(self._engine, now, lambda: self._set(ask, by, now))

    def lift(self, ask: HoldAsk, by: str) -> Hold:
        """Lift a hold and return what it was. Raises NotHeld."""
        now = self._clock.now()
        return in_month(self._engine, now, lambda: self._lift(ask, by, now))

    def all(self) -> list[Hold]:
        """Return all holds, the one on everything first."""
        with reading(self._engine).begin() as connection:
            return [_hold(row) for row in connection.execute(_holds().order_by(_H.correlation_id))]

    def _set(self, ask: HoldAsk, by: str, now: datetime) -> tuple[Hold, bool]:
        with writing(self._engine).begin() as connection:
            keep_holds(connection)
            found = _find(connection, ask.correlation_id)
            if found is not None:
                if found.reason != ask.reason:
                    raise AlreadyHeld(found)
                return found, False
            row = {"correlation_id": ask.correlation_id, "reason": ask.reason, "requested_by": ask.requested_by}
            connection.execute(insert(audit_holds), row | {"set_by": by, "set_at": now})
            self._tell(connection, UpkeepType.HOLD_SET, ask, by, now, {})
            made = _find(connection, ask.correlation_id)
        assert made is not None
        return made, True

    def _lift(self, ask: HoldAsk, by: str, now: datetime) -> Hold:
        with writing(self._engine).begin() as connection:
            keep_holds(connection)
            found = _find(connection, ask.correlation_id)
            if found is None:
                raise NotHeld
            connection.execute(delete(audit_holds).where(_H.correlation_id == ask.correlation_id))
            was = {name: value for name, value in found.document().items() if name in ("set_by", "set_at")}
            self._tell(connection, UpkeepType.HOLD_LIFTED, ask, by, now, was | {"set_reason": found.reason})
        return found

    def _tell(
        self, connection: Connection, kind: UpkeepType, ask: HoldAsk, by: str, now: datetime, more: dict[str, Any]
    ) -> None:
        everything = ask.correlation_id == EVERYTHING
        data = {"reason": ask.reason, "everything": everything, "requested_by": ask.requested_by, **more}
        chain = HOLDS_CHAIN if everything else ask.correlation_id
        append(connection, [upkeep_record(kind, now, chain, data, new_id=self._clock.new_id, user=by)], now)


def keep_holds(connection: Connection) -> None:
    """Let nobody else set or lift a hold until this transaction ends."""
    if connection.dialect.name == Driver.POSTGRESQL:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


def holds_of(connection: Connection, *conditions: Any) -> list[str]:
    """Return which holds keep events that match: their correlation ids, EVERYTHING among them."""
    held = select(1).where(audit_events.c.correlation_id == _H.correlation_id, *conditions).exists()
    wanted = select(_H.correlation_id).where((_H.correlation_id == EVERYTHING) | held)
    return list(connection.execute(wanted.order_by(_H.correlation_id)).scalars())


def _holds() -> Any:
    count = select(func.count()).select_from(audit_events).where(audit_events.c.correlation_id == _H.correlation_id)
    return select(*_H, count.correlate(audit_holds).scalar_subquery().label("events"))


def _find(connection: Connection, correlation_id: str) -> Hold | None:
    row = connection.execute(_holds().where(_H.correlation_id == correlation_id)).first()
    return None if row is None else _hold(row)


def _hold(row: Any) -> Hold:
    events = None if row.correlation_id == EVERYTHING else row.events
    return Hold(row.correlation_id, row.reason, row.set_by, row.requested_by, row.set_at, events)
