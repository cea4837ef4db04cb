"""What is true of the whole cluster: the freeze, the engines it serves, whether admission vouches for requesters."""

from __future__ import annotations

from models.execution import Engine
from models.freeze import Freeze


class ClusterSurroundings:
    """The port `Surroundings` on a real API server."""

    def freeze(self) -> Freeze | None:
        """Return the freeze in force, None when there is none."""
        return None

    def engine_available(self, engine: Engine) -> bool:
        """Say whether the API server serves the kind of run of an engine."""
        return engine in (Engine.TEKTON, Engine.JOB)

    def requester_verified(self) -> bool:
        """Say whether admission makes sure that the requested-by annotation names its author."""
        return False
