"""The only module that uses kopf: it watches, and says which keys to look at.

kopf writes nothing: `on.event` handlers need no annotation and no finalizer, and posting and
peering are off. It swallows their errors, so they are one line that cannot fail.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection
from typing import Any, cast

import kopf

from flow_operator.core import names
from flow_operator.shell.cluster import FLOW_DEPLOYMENTS, FLOW_RUNS, JOBS, PODS, Resource
from flow_operator.shell.connection import Connection
from flow_operator.shell.keys import keys_of_child, keys_of_deployment, keys_of_run
from flow_operator.shell.liveness import Liveness

logger = logging.getLogger(__name__)

Enqueue = Callable[..., None]
"""Takes any number of keys."""

_OURS = f"{names.LABEL_MANAGED_BY}={names.MANAGER}"


class WatchingStoppedError(Exception):
    """The watches ended by themselves. They can be started again."""


async def watch(
    connection: Connection,
    namespaces: Collection[str],
    enqueue: Enqueue,
    liveness: Liveness,
    *,
    on_start: Callable[[], None],
) -> None:
    """Watch until cancelled.

    Args:
        connection: Where to.
        namespaces: Which to watch; none: all.
        enqueue: Takes the keys that events are about.
        liveness: Takes the signs of life of the watches.
        on_start: Called once kopf has started, and has taken the process's signal handlers.

    Raises:
        WatchingStoppedError: The watches cannot go on, for example because the CRDs were removed.
    """
    session = connection.session(liveness.response_class())
    tasks = await kopf.spawn_tasks(
        registry=_registry(enqueue, connection.server, session),
        settings=_settings(),
        clusterwide=not namespaces,
        namespaces=namespaces,
        standalone=True,
        # Unused, but kopf would look up the user's name for it, and ours has none in a container.
        identity=cast("Any", "flow-operator"),
    )
    on_start()
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        errors = [error for task in done if not task.cancelled() and (error := task.exception())]
        raise WatchingStoppedError(str(errors[0]) if errors else "kopf ended") from next(
            iter(errors), None
        )
    finally:
        # Only kopf's own tasks are stopped; `kopf.operator` would sweep up all of the loop's.
        for task in tasks:
            task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                await asyncio.wait(tasks)


def _registry(enqueue: Enqueue, server: str, session: Any) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        return kopf.AiohttpSession(server=server, aiohttp_session=session)

    @kopf.on.event(*_selector(FLOW_DEPLOYMENTS), registry=registry)
    async def flowdeployment(body: kopf.Body, **_: Any) -> None:
        enqueue(*keys_of_deployment(body))

    @kopf.on.event(*_selector(FLOW_RUNS), registry=registry)
    async def flowrun(body: kopf.Body, **_: Any) -> None:
        enqueue(*keys_of_run(body))

    @kopf.on.event(*_selector(JOBS), registry=registry)
    async def job(body: kopf.Body, **_: Any) -> None:
        enqueue(*keys_of_child(body))

    @kopf.on.event(*_selector(PODS), registry=registry)
    async def pod(body: kopf.Body, **_: Any) -> None:
        enqueue(*keys_of_child(body))

    return registry


def _selector(resource: Resource) -> tuple[str, str, str]:
    return resource.group, resource.api_version.rpartition("/")[2], resource.plural


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True  # needs no right to watch namespaces and CRDs
    settings.process.ultimate_exiting_timeout = None
    settings.queueing.exit_timeout = 0.5
    settings.queueing.idle_timeout = 1.0
    settings.networking.request_timeout = 60
    settings.networking.connect_timeout = 10
    settings.networking.error_backoffs = (0.5, 1, 2, 5, 5, 5)
    # A dead watch is noticed in 70 s without a bookmark (kopf's default), and at the latest here.
    settings.watching.server_timeout = 240
    settings.watching.client_timeout = 270
    settings.watching.chunk_size = 500
    for resource in (JOBS, PODS):
        settings.watching.label_selectors[_selector(resource)] = _OURS
    return settings
