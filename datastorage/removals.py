"""The stubs of removed months as they stand in the database: checked, and looked up while chains are followed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, select

from datastorage.reading_back import streamed
from models.audit_removal import Removal, RemovalWalk, StretchDigest
from models.audit_stretch import Find, Stretch, find_among
from models.audit_verify import Fault
from models.tables import audit_removals, audit_removed

_SIGN_OF_LIFE = 5000  # stretches
_COLUMNS = [audit_removed.c[name] for name in ("correlation_id", "first_position", "last_position", "before", "hash")]


def newest_removal(connection: Connection) -> Removal | None:
    """Return the stub with the highest number."""
    newest = select(audit_removals).order_by(audit_removals.c.number.desc()).limit(1)
    row = connection.execute(newest).mappings().first()
    return None if row is None else removal_of(dict(row))


def removal_of(row: dict[str, Any]) -> Removal:
    """Read a row of `audit_removals`."""
    return Removal(**row)


def columns_of(removal: Removal) -> dict[str, Any]:
    """Return a row of `audit_removals`."""
    return {str(column.name): getattr(removal, column.name) for column in audit_removals.c}


def stretches_of(connection: Connection, number: int) -> Iterable[Stretch]:
    """Yield the stretches that a stub names, in their order."""
    rows = select(*_COLUMNS).where(audit_removed.c.number == number).order_by(audit_removed.c.ordinal)
    return (_stretch(row) for row in streamed(connection, rows))


def check_removals(
    connection: Connection, trust: Callable[[Removal], str], correlation_id: str | None
) -> Generator[Fault | None, None, list[Removal]]:
    """Yield what is wrong with the stubs, or with those of one chain, and return the good ones."""
    walk = RemovalWalk(trust, every=correlation_id is None)
    stubs = select(audit_removals).order_by(audit_removals.c.number)
    if correlation_id is not None:
        of_chain = select(audit_removed.c.number).where(audit_removed.c.correlation_id == correlation_id)
        stubs = stubs.where(audit_removals.c.number.in_(of_chain))
    for row in connection.execute(stubs).mappings().all():
        gone = StretchDigest()
        for stretch in stretches_of(connection, row["number"]):
            gone.add(stretch)
            if gone.count % _SIGN_OF_LIFE == 0:
                yield None
        yield from walk.follow(removal_of(dict(row)), gone)
        yield None
    return walk.good


class Gone:
    """What was removed by stubs that are good."""

    def __init__(self, connection: Connection, numbers: Collection[int]) -> None:
        self.numbers = sorted(numbers)
        self._connection = connection

    def find(self, correlation_id: str, first: int) -> Stretch | None:
        """Return the stretch of a chain that begins at a position."""
        if not self.numbers:
            return None
        there = audit_removed.c
        row = self._connection.execute(
            select(*_COLUMNS).where(
                there.correlation_id == correlation_id, there.first_position == first, there.number.in_(self.numbers)
            )
        ).first()
        return None if row is None else _stretch(row)

    def among(self, correlation_ids: Collection[str]) -> Find:
        """Return a look-up among the stretches of these chains."""
        if not self.numbers or not correlation_ids:
            return find_among(())
        there = audit_removed.c
        wanted = select(*_COLUMNS).where(there.correlation_id.in_(correlation_ids), there.number.in_(self.numbers))
        return find_among([_stretch(row) for row in self._connection.execute(wanted)])

    def behind(self, correlation_id: str, position: int) -> bool:
        """Say whether something of a chain was removed behind a position."""
        there = audit_removed.c
        wanted = select(1).where(
            there.correlation_id == correlation_id, there.first_position > position, there.number.in_(self.numbers)
        )
        return bool(self.numbers) and self._connection.execute(wanted.limit(1)).first() is not None

    def covers(self, correlation_id: ColumnElement[Any], position: ColumnElement[Any]) -> ColumnElement[bool]:
        """Return the condition that a row of `audit_removed` has a place of a chain."""
        there = audit_removed.c
        return and_(
            there.correlation_id == correlation_id,
            position.between(there.first_position, there.last_position),
            there.number.in_(self.numbers),
        )


def _stretch(row: Any) -> Stretch:
    name, first, last, before, value = row
    return Stretch(name, first, last, bytes(before), bytes(value))
