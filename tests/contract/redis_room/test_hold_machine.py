"""A state machine over holds and lines: takers, leavers, vanished owners, an emptied Redis and its restoration.

The model keeps holder and line of each target as plain lists and must agree with Redis after every step. Time is the
test's own; Redis is real.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from models.errors import Transient
from models.hold import Busy, Free, GateClosed, HoldView, Mine, Owner
from models.keys import Key
from tasks.redis_scripts.connection import Client
from tasks.redis_scripts.hold import Holds
from tests.contract.redis_room import set_clock as clocks
from tests.contract.redis_room.set_clock import SetClock

BORN = datetime(2026, 5, 1, tzinfo=UTC)
TARGETS = ("prod/deployment/app", "node/one")
# Two executions of one name, as after a deletion without our finalizer; two of one age.
OWNERS = [
    Owner(f"uid-{number}", Key("ns", name), BORN + timedelta(seconds=age))
    for number, (name, age) in enumerate([("a", 3), ("b", 2), ("b", 5), ("c", 2), ("d", 1), ("e", 4)])
]


@dataclass
class Target:
    """What the test knows of one target."""

    holder: Owner | None = None
    mine: Mine | None = None
    line: list[Owner] = field(default_factory=list)

    def join(self, owner: Owner) -> None:
        self.line = sorted({*self.line, owner}, key=lambda one: (one.created, one.uid))


def target_of(owner: Owner) -> str:
    return TARGETS[OWNERS.index(owner) % 2]


class HoldMachine(RuleBasedStateMachine):
    client: Client

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.clock = SetClock(self.client)
        self.holds = Holds(self.client, "t", clock=clocks.LUA)
        self.open = self.holds.open_gate()
        self.targets = {name: Target() for name in TARGETS}
        self.last_fence = 0

    @rule()
    def advance(self) -> None:
        self.clock.advance(timedelta(milliseconds=1))

    @rule(owner=st.sampled_from(OWNERS))
    def take(self, owner: Owner) -> None:
        self.clock.advance(timedelta(microseconds=1))
        target, view = self.targets[target_of(owner)], self.holds.take(target_of(owner), owner)
        if self.open and target.holder != owner:
            target.join(owner)
            if target.holder is None and target.line[0] == owner:
                assert isinstance(view, Mine)
                assert view.fence > self.last_fence
                self.last_fence = view.fence
                target.holder, target.mine = owner, view
                target.line.remove(owner)
        assert view == self._expected(owner)

    @rule(owner=st.sampled_from(OWNERS))
    def look(self, owner: Owner) -> None:
        assert self.holds.look(target_of(owner), owner.uid) == self._expected(owner)

    @rule(owner=st.sampled_from(OWNERS), right=st.booleans())
    def release(self, owner: Owner, right: bool) -> None:
        target = self.targets[target_of(owner)]
        fence = target.mine.fence - (not right) if target.mine else 1
        woken = self._unless_closed(lambda: self.holds.release(target_of(owner), owner.uid, fence, clean=True))
        if woken is not None and target.holder == owner and right:
            target.holder = target.mine = None
            assert woken == self._first(target)
        else:
            assert not woken

    @rule(owner=st.sampled_from(OWNERS))
    def leave(self, owner: Owner) -> None:
        target = self.targets[target_of(owner)]
        woken = self._unless_closed(lambda: self.holds.leave(target_of(owner), owner.uid))
        if woken is not None and owner in target.line:
            target.line.remove(owner)
            assert woken == self._first(target)
        else:
            assert not woken

    @rule(owner=st.sampled_from(OWNERS), whole_key=st.booleans())
    def vanish(self, owner: Owner, whole_key: bool) -> None:
        if self._unless_closed(lambda: self.holds.vanish(owner.key, None if whole_key else owner.uid)) is None:
            return
        for other in OWNERS:
            if other == owner or (whole_key and other.key == owner.key):
                target = self.targets[target_of(other)]
                if target.holder == other:
                    target.holder = target.mine = None
                target.line = [one for one in target.line if one != other]

    @rule()
    def empty_redis(self) -> None:
        """Everything goes but the clock; the API server still knows holders and those in line."""
        self.client.delete(*(self.client.keys("t:*") or ["t:none"]))
        self.open = False

    @precondition(lambda self: not self.open)
    @rule()
    def restore(self) -> None:
        restoration = self.holds.begin_restore()
        for name, target in self.targets.items():
            if target.holder and target.mine:
                assert self.holds.restore(name, target.holder, target.mine.fence, target.mine.since)
            for owner in target.line:
                assert self.holds.restore_place(name, owner)
        assert self.holds.open_gate(restoration)
        self.open = True

    @invariant()
    def redis_agrees(self) -> None:
        assert self.holds.gate_open() == self.open
        if not self.open:
            return
        held = {row.target: (row.key, row.uid, row.waiting) for row in self.holds.all()}
        assert held == {
            name: (target.holder.key, target.holder.uid, len(target.line))
            for name, target in self.targets.items()
            if target.holder
        }
        assert all(self.holds.line(name) == target.line for name, target in self.targets.items())
        heads = [key for target in self.targets.values() for key in self._first(target)]
        assert sorted(self.holds.waiting_heads()) == sorted(heads)
        due: Any = self.client.zrange("t:due", 0, -1)
        assert {Key.parse(text.decode()) for text in due} >= set(heads)
        assert self._registered() == {one.uid for target in self.targets.values() for one in self._all(target)}

    def _expected(self, owner: Owner) -> HoldView:
        target = self.targets[target_of(owner)]
        position = target.line.index(owner) + 1 if owner in target.line else 0
        if not self.open:
            return GateClosed()
        if target.holder == owner and target.mine:
            return target.mine
        if target.holder and target.mine:
            return Busy(target.holder.key, target.holder.uid, target.mine.since, position)
        if target.line and target.line[0] != owner:
            first = target.line[0]
            return Busy(first.key, first.uid, first.created, position)
        return Free()

    def _unless_closed(self, act: Callable[[], list[Key]]) -> list[Key] | None:
        if self.open:
            return act()
        with pytest.raises(Transient):
            act()
        return None

    def _first(self, target: Target) -> list[Key]:
        return [] if target.holder else [one.key for one in target.line[:1]]

    def _all(self, target: Target) -> list[Owner]:
        return [*target.line, *([target.holder] if target.holder else [])]

    def _registered(self) -> set[str]:
        owners: Any = self.client.hkeys("t:owners")
        owned: Any = self.client.hvals("t:owned")
        uids = {uid.decode() for uid in owners}
        assert uids == {uid for text in owned for uid in text.decode().split()}
        return uids


@pytest.mark.timeout(300)
def test_holds_and_lines_keep_their_promises(redis_client: Client) -> None:
    HoldMachine.client = redis_client
    run_state_machine_as_test(
        HoldMachine,
        settings=settings(
            max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
