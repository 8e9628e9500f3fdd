"""What kopf is told: which objects to watch, and to show what it sees of them.

kopf writes nothing: `on.event` handlers need no annotation and no finalizer, and posting and
peering are off. It swallows their errors, so they are one line that cannot fail.
"""

from collections.abc import Callable
from typing import Any, cast

import kopf

from flow_operator.shell.cluster import (
    FLOW_DEPLOYMENTS,
    FLOW_RUNS,
    JOBS,
    PODS,
    WATCHED,
    Resource,
)
from flow_operator.shell.sync import labels_of

Show = Callable[[Resource, kopf.RawEvent], None]
"""Takes what was seen of an object."""

Connect = Callable[[], kopf.AiohttpSession]
"""Opens a session for watching."""


def make_registry(show: Show, connect: Connect) -> kopf.OperatorRegistry:
    """Return what kopf is to do: log in, watch four kinds, and show what it sees."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        return connect()

    @kopf.on.event(*_selector(FLOW_DEPLOYMENTS), registry=registry)
    async def flowdeployment(event: kopf.RawEvent, **_: Any) -> None:
        show(FLOW_DEPLOYMENTS, event)

    @kopf.on.event(*_selector(FLOW_RUNS), registry=registry)
    async def flowrun(event: kopf.RawEvent, **_: Any) -> None:
        show(FLOW_RUNS, event)

    @kopf.on.event(*_selector(JOBS), registry=registry)
    async def job(event: kopf.RawEvent, **_: Any) -> None:
        show(JOBS, event)

    @kopf.on.event(*_selector(PODS), registry=registry)
    async def pod(event: kopf.RawEvent, **_: Any) -> None:
        show(PODS, event)

    return registry


def _selector(resource: Resource) -> tuple[str, str, str]:
    return resource.group, resource.api_version.rpartition("/")[2], resource.plural


def make_settings() -> kopf.OperatorSettings:
    """Return the settings under which kopf only watches, and notices when a watch is dead."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.persistence.diffbase_storage = _NoDiffs()
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
    for resource in WATCHED:
        if selector := labels_of(resource):
            settings.watching.label_selectors[_selector(resource)] = selector
    return settings


class _NoDiffs(kopf.DiffBaseStorage):
    """Compares nothing: else kopf copies every object twice, for handlers that there are not."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return cast("kopf.BodyEssence", {})

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        return None
