"""Break what the model test guards, one guard at a time, and see it go red."""

from __future__ import annotations

import pytest

from tests.unit.model.mutations import MUTATIONS, Mutation
from tests.unit.model.replay import STEPS, play

SHOWN_BY = {
    "release without the fence": 2,
    "take behind a closed gate": 2,
    "take past the head of the line": 3,
    "a crashed pass is forgotten": 3,
    "orphans are left": 8,
    "holders without a status are not restored": 4,
    "restored under a gate somebody else opened": 19,
    "status written without compare-and-set": 4,
    "the loser deletes the winner's run": 2,
    "retried at once": 2,
    "released while pods live": 23,
    "let go without its audit": 2,
    "acknowledged before it is stored": 5,
    "a restoration forgets blocks": 32,
    "an adopted run that has ended is not looked at again": 178,
    "cleared without a record": 2,
    "unlocked without a record": 2,
    "deleted without a word of its block": 4,
}
"""A seed that showed each one when it was planted; any other change of the code may move it, then the rest is tried."""

OTHERS = range(1, 121)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_planted_defect_is_noticed(mutation: Mutation) -> None:
    seeds = [SHOWN_BY.get(mutation.name, 1), *OTHERS]
    with mutation.planted():
        assert any(play(seed, STEPS, mutation.chaos, mutation.eager)[1] for seed in seeds)
