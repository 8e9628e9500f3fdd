"""The cluster that end-to-end tests run on.

from tests.cluster import ensure

cluster = ensure()                      # idempotent; 0.3 s when all is there
cluster.run("get", "pods", "-A")        # kubectl
cluster.run_helm("list", "-A")
cluster.images["flow-operator"]         # what a Pod's `image` says
"""

from tests.cluster.binaries import tool
from tests.cluster.console import ClusterError
from tests.cluster.guard import RefusedContextError
from tests.cluster.provider import Cluster, choose, ensure, load_images, take_down

__all__ = [
    "Cluster",
    "ClusterError",
    "RefusedContextError",
    "choose",
    "ensure",
    "load_images",
    "take_down",
    "tool",
]
