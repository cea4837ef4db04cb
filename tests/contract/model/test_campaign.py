"""The rest of the fixed seeds of the model test (unit/model/test_model.py): together more than 100,000 steps."""

from __future__ import annotations

import pytest

from tests.unit.model.test_model import FIXED, played

REST = range(FIXED.stop, 46)
FIVE = 10_000
"""Steps that any five seeds take at least; all 45 of both files took 131,000 when this was written."""


@pytest.mark.parametrize("first", REST[::5])
def test_invariants_hold_under_every_interleaving(first: int) -> None:
    assert played(range(first, first + 5)) > FIVE
