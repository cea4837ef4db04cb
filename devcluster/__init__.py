"""Run a real Kubernetes control plane on this machine for development and tests.

`start` gives a cluster; `python -m devcluster` does the same for a person; `pytest_plugin` for tests.
"""

from devcluster.cluster import Cluster, start, use_existing
from devcluster.places import DevclusterError, UsageError

__all__ = ["Cluster", "DevclusterError", "UsageError", "start", "use_existing"]
