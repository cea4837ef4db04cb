"""The real passes, sweep, resync and flush under every interleaving that a seed gives; I1-I8 after each step.

40 fixed seeds and 5 fresh ones make 100,000 port calls; longer: `python -m tests.unit.model.replay --campaign 700`.
"""

from __future__ import annotations

import random

import pytest

from tests.unit.model.replay import play

FIXED = range(1, 41)
FRESH = 5


@pytest.mark.parametrize("first", FIXED[::5])
def test_invariants_hold_under_every_interleaving(first: int) -> None:
    for seed in range(first, first + 5):
        _, story = play(seed)
        assert not story, again(story, seed)


def test_invariants_hold_for_seeds_that_nobody_tried(capsys: pytest.CaptureFixture[str]) -> None:
    seeds = random.SystemRandom().sample(range(100_000, 10_000_000), FRESH)
    with capsys.disabled():
        print(f"\nfresh seeds: {seeds}")
    for seed in seeds:
        _, story = play(seed)
        assert not story, again(story, seed)


def again(story: str, seed: int) -> str:
    return f"{story}\nagain: python -m tests.unit.model.replay {seed}"
