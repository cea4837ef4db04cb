"""What a thread does again and again as long as its process lives."""

from __future__ import annotations

import logging
from collections.abc import Callable

from models.errors import ExecutorError

log = logging.getLogger(__name__)


def repeat(act: Callable[[], object], pause: float, stopped: Callable[[float], bool], failing: str) -> None:
    """Act every `pause` seconds until `stopped`, which waits for so many; a failure is logged as `failing`."""
    while not stopped(pause):
        try:
            act()
        except ExecutorError as fault:
            log.warning("%s: %s", failing, fault)
        except Exception:
            log.exception("%s", failing)
