"""Plugins of all tiers; fixtures of one room stand in that room's own folder.

A file `tests/*_plugin.py` gives fixtures to every tier.
"""

from __future__ import annotations

from pathlib import Path

# Imported, not listed as a plugin: other modules import `require` from there, too.
from tests.policy import (
    pytest_collection,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_make_collect_report,
    pytest_runtest_makereport,
    require,
)

__all__ = [
    "pytest_collection",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_make_collect_report",
    "pytest_runtest_makereport",
    "require",
]

pytest_plugins = [
    "pytester",
    "devcluster.pytest_plugin",
    *sorted(f"tests.{path.stem}" for path in Path(__file__).parent.glob("*_plugin.py")),
]
