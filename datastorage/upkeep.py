"""What the service does by itself: at its start, then every hour, and after a minute again when something failed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from sqlalchemy.exc import SQLAlchemyError

from datastorage.database_errors import describe

INTERVAL_SECONDS = 3600.0
_AGAIN_SECONDS = 60.0

log = logging.getLogger("datastorage.upkeep")


class Upkeep:
    """Does its duties in a thread of its own while the context lasts."""

    def __init__(self, duties: Mapping[str, Callable[[], object]], interval: float = INTERVAL_SECONDS) -> None:
        self._duties = duties
        self._interval = interval
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep")

    def __enter__(self) -> Upkeep:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def once(self) -> bool:
        """Do every duty once, and say whether all were done."""
        done = [self._done(name, duty) for name, duty in self._duties.items()]
        return all(done)

    def _run(self) -> None:
        pause = 0.0
        while not self._stopping.wait(pause):
            pause = self._interval if self.once() else min(_AGAIN_SECONDS, self._interval)

    @staticmethod
    def _done(name: str, duty: Callable[[], object]) -> bool:
        try:
            duty()
        except SQLAlchemyError as error:
            log.error("upkeep failed, another try follows", extra={"fields": {"duty": name, "error": describe(error)}})
            return False
        except Exception:
            # A defect in one duty must not end the others, least of all the partitions.
            log.exception("upkeep failed, another try follows", extra={"fields": {"duty": name}})
            return False
        return True
