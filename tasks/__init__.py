"""The workers: Celery tasks that carry out what `models.decide` decides.

`celery -A tasks` finds the app here. It is built on first use, so that importing a room reads no configuration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celery import Celery

    app: Celery


def __getattr__(name: str) -> Any:
    if name == "app":
        from tasks.app import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
