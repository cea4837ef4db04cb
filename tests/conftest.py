"""Plugins of all tiers; fixtures of one room stand in that room's own folder."""

from __future__ import annotations

from importlib.util import find_spec

# Imported, not listed as a plugin: other modules import `require` from there, too.
from tests.policy import (
    pytest_collection_modifyitems,
    pytest_make_collect_report,
    pytest_runtest_makereport,
    require,
)

__all__ = ["pytest_collection_modifyitems", "pytest_make_collect_report", "pytest_runtest_makereport", "require"]

pytest_plugins = [
    "pytester",
    *(
        name
        for name in ("devcluster.pytest_plugin", "tests.redis_plugin", "tests.postgres_plugin")
        if find_spec(name) is not None
    ),
]
