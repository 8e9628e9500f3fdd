"""What kopf is told: which objects to watch, and to say which keys to look at.

kopf writes nothing: `on.event` handlers need no annotation and no finalizer, and posting and
peering are off. It swallows their errors, so they are one line that cannot fail.
"""

from collections.abc import Callable
from typing import Any

import kopf

from flow_operator.core import names
from flow_operator.shell.cluster import FLOW_DEPLOYMENTS, FLOW_RUNS, JOBS, PODS, Resource
from flow_operator.shell.keys import keys_of_child, keys_of_deployment, keys_of_run

Enqueue = Callable[..., None]
"""Takes any number of keys."""

Connect = Callable[[], kopf.AiohttpSession]
"""Opens a session for watching."""

_OURS = f"{names.LABEL_MANAGED_BY}={names.MANAGER}"


def make_registry(enqueue: Enqueue, connect: Connect) -> kopf.OperatorRegistry:
    """Return what kopf is to do: log in, watch four kinds, and pass their keys on."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        return connect()

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


def make_settings() -> kopf.OperatorSettings:
    """Return the settings under which kopf only watches, and notices when a watch is dead."""
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
