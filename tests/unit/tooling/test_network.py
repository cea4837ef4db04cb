"""Unit tests have no network; that the rule is in force elsewhere is proved by contract/tooling/test_policy.py."""

from __future__ import annotations

import pytest


def test_this_very_test_has_none(request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("disable_socket")
