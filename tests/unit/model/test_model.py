"""The real passes, sweep, resync and flush under every interleaving that a seed gives; I1-I8 after each step."""

from __future__ import annotations

import pytest

from tests.unit.model.replay import play

FIXED = range(1, 41)


@pytest.mark.parametrize("first", FIXED[::5])
def test_invariants_hold_under_every_interleaving(first: int) -> None:
    for seed in range(first, first + 5):
        _, story = play(seed)
        assert not story, f"{story}\nagain: python -m tests.unit.model.replay {seed}"
