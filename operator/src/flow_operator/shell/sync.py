"""Fills the store before anything is decided, and keeps it true whatever the watches missed.

kopf misses what was deleted while a watch was broken, and swallows the errors of handlers.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import cycle
from typing import NamedTuple

from flow_operator.core import names
from flow_operator.core.rest import rests_until
from flow_operator.shell.cluster import (
    FLOW_DEPLOYMENTS,
    FLOW_RUNS,
    JOBS,
    PODS,
    WATCHED,
    Cluster,
    Resource,
)
from flow_operator.shell.errors import ClusterError
from flow_operator.shell.keys import Concern, Key, deployment_key
from flow_operator.shell.records import Record, record_of, version_of
from flow_operator.shell.store import Store
from flow_operator.shell.stream import BOOKMARK, DELETED

logger = logging.getLogger(__name__)

RESYNC_SECONDS = 300.0
"""How often the store is compared with what the API server has."""

_SHARES = 12
"""After how many comparisons everything unfinished was looked at, a share each time."""

OURS = f"{names.LABEL_MANAGED_BY}={names.MANAGER}"
"""Selects the Jobs and Pods that the operator made."""


def labels_of(resource: Resource) -> str | None:
    """Return the label selector under which a kind is listed and watched."""
    return OURS if resource in (JOBS, PODS) else None


class Loaded(NamedTuple):
    """What was read.

    Attributes:
        versions: By path, the resourceVersion that its list is of: a watch from there on misses
            nothing.
        at_rest: The deployments that can be looked at after everything else, and until when.
    """

    versions: dict[str, int]
    at_rest: dict[Key, datetime]


async def load(cluster: Cluster, scopes: Iterable[str | None], store: Store) -> Loaded:
    """Read everything into the store.

    A decision on half of it would be wrong: runs that are not known yet are not missing.

    Raises:
        ClusterError: The API server cannot be read.
    """
    loaded = Loaded({}, {})
    for scope in scopes:
        for resource in WATCHED:
            events = cluster.everything(resource, scope, labels=labels_of(resource))
            async for event, item in events:
                if event == BOOKMARK:
                    loaded.versions[resource.path(scope)] = version_of(item)
                    continue
                record, concern = record_of(resource, item)
                if event == DELETED:
                    store.drop(record, Concern())
                    continue
                if resource is FLOW_DEPLOYMENTS and (until := rests_until(item)):
                    loaded.at_rest[deployment_key(record.namespace, record.name)] = until
                    concern = Concern()
                store.take(record, _at_first(record, concern))
    return loaded


def _at_first(record: Record, concern: Concern) -> Concern:
    """Return what is to be looked at because an object is there.

    All that has not ended is looked at anyway, and with a run all that belongs to it.
    """
    if record.kind in (JOBS.kind, PODS.kind):
        return Concern()
    if record.kind == FLOW_RUNS.kind and not record.open:
        return Concern(tuple(key for key in concern.now if key.kind == record.kind))
    return concern


async def resync(
    cluster: Cluster,
    scopes: Iterable[str | None],
    store: Store,
    enqueue: Callable[..., None],
) -> None:
    """Correct the store and look at a share of everything unfinished, again and again."""
    scopes = list(scopes)
    for turn in cycle(range(_SHARES)):
        await asyncio.sleep(RESYNC_SECONDS * random.uniform(0.9, 1.1))  # noqa: S311 - jitter
        try:
            for scope in scopes:
                for resource in WATCHED:
                    await compare(cluster, scope, resource, store)
        except ClusterError as error:
            logger.warning("The resync was cut short: %s", error)
        enqueue(*share(store.keys(), turn))


async def compare(cluster: Cluster, scope: str | None, resource: Resource, store: Store) -> int:
    """Correct what the store has of a kind; return how many objects it had missed."""
    listed: set[str] = set()
    behind: list[tuple[str, str]] = []
    version = 0
    events = cluster.everything(resource, scope, labels=labels_of(resource), only_identity=True)
    async for event, item in events:
        meta = item["metadata"]
        if event == BOOKMARK:
            version = version_of(item)
        elif event == DELETED:
            listed.discard(meta["uid"])
        else:
            listed.add(meta["uid"])
            if store.version(resource, meta["namespace"], meta["name"]) < version_of(item):
                behind.append((meta["namespace"], meta["name"]))
    gone = [
        (record.namespace, record.name)
        for record in store.records(resource)
        if record.uid not in listed
        and record.version <= version
        and scope in (None, record.namespace)
    ]
    for namespace, name in [*behind, *gone]:
        if found := await cluster.find(resource, namespace, name):
            store.saw(resource, found)
        else:
            store.gone(resource, namespace, name)
    if behind or gone:
        logger.info("%s: %d changes had not been seen", resource.kind, len(behind) + len(gone))
    return len(behind) + len(gone)


def share(keys: Iterable[Key], turn: int) -> list[Key]:
    """Return the keys whose turn it is."""
    return [key for key in keys if int(names.digest(*key), 16) % _SHARES == turn]
