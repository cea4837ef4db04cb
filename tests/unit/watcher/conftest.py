from __future__ import annotations

from tests.unit.cluster.conftest import serve

__all__ = ["serve"]
