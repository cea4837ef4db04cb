"""Run a real Kubernetes control plane on this machine for development and tests.

`start` gives a cluster; `python -m devcluster` does the same for a person; `pytest_plugin` for tests.
"""

from typing import TYPE_CHECKING

from devcluster.places import DevclusterError, UsageError

__all__ = ["Cluster", "DevclusterError", "UsageError", "start", "use_existing"]

if TYPE_CHECKING:
    from devcluster.cluster import Cluster, start, use_existing
else:

    def __getattr__(name: str) -> object:
        """Import what starts clusters when it is asked for: most who import us start none and need not wait."""
        if name not in __all__:
            raise AttributeError(name)
        from devcluster import cluster

        return getattr(cluster, name)
