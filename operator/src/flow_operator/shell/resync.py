"""A safety net: every few minutes everything unfinished is looked at, whatever was noticed.

kopf misses what was deleted while a watch was broken, and swallows the errors of handlers.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Iterable

from flow_operator.shell.cluster import FLOW_DEPLOYMENTS, FLOW_RUNS, Cluster
from flow_operator.shell.errors import ClusterError
from flow_operator.shell.handlers import Enqueue
from flow_operator.shell.keys import Key, deployment_key, run_key

logger = logging.getLogger(__name__)

RESYNC_SECONDS = 300.0


async def resync(cluster: Cluster, namespaces: Iterable[str | None], enqueue: Enqueue) -> None:
    """Enqueue the keys of all deployments and unfinished runs, again and again."""
    scopes = list(namespaces)
    while True:
        await asyncio.sleep(RESYNC_SECONDS * random.uniform(0.9, 1.1))  # noqa: S311 - jitter
        try:
            async for key in unfinished(cluster, scopes):
                enqueue(key)
        except ClusterError as error:
            logger.warning("The resync was cut short: %s", error)


async def unfinished(cluster: Cluster, namespaces: Iterable[str | None]) -> AsyncIterator[Key]:
    """Yield the keys of all deployments, and of all runs that have not ended."""
    for namespace in namespaces:
        for item in await cluster.list(FLOW_DEPLOYMENTS, namespace):
            yield deployment_key(item["metadata"]["namespace"], item["metadata"]["name"])
        for item in await cluster.list(FLOW_RUNS, namespace):
            if not (item.get("status") or {}).get("completionTime"):
                yield run_key(item["metadata"]["namespace"], item["metadata"]["name"])
