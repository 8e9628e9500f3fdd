"""Plays the kubelet: takes every Pod through fetching and running to success."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from tests.bench.scale.api import Api, Object, RefusedError, Seen

_COMMIT = "8c1f" * 10
_NODE_IP = "10.0.0.1"


class Kubelet:
    """Writes the statuses of Pods.

    Args:
        stage: Seconds between two of a Pod's three statuses.

    Attributes:
        played: How many Pods have ended.
    """

    def __init__(self, api: Api, *, stage: float = 0.5) -> None:
        self.played = 0
        self._api = api
        self._stage = stage
        self._tasks: set[asyncio.Task[None]] = set()
        self._known: set[str] = set()

    @contextlib.asynccontextmanager
    async def playing(self, namespace: str | None = None) -> AsyncIterator[None]:
        """Play with the Pods of a namespace, or of all of them, that are created from now on."""
        try:
            async with self._api.watching("Pod", namespace, self._note):
                yield
        finally:
            for task in self._tasks:
                task.cancel()

    def _note(self, seen: Seen) -> None:
        if seen.type != "ADDED" or seen.meta["uid"] in self._known:
            return
        self._known.add(seen.meta["uid"])
        task = asyncio.create_task(self._live(seen.meta["namespace"], seen.name))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _live(self, namespace: str, name: str) -> None:
        for status in (_fetching, _running, _succeeded):
            await asyncio.sleep(self._stage)
            try:
                change = {"status": status(_now())}
                await self._api.patch("Pod", namespace, name, change, status=True)
            except RefusedError as error:
                if error.status in (404, 409):  # deleted meanwhile
                    return
                raise
        self.played += 1


def _fetching(now: str) -> Object:
    return {
        "phase": "Pending",
        "hostIP": _NODE_IP,
        "podIP": "10.1.0.7",
        "startTime": now,
        "conditions": _conditions(now, Initialized=False, ContainersReady=False, Ready=False),
        "initContainerStatuses": _container("fetch", {"running": {"startedAt": now}}),
    }


def _running(now: str) -> Object:
    fetched = {"version": 1, "reason": "Succeeded", "revision": _COMMIT, "seconds": {"total": 0.1}}
    return {
        "phase": "Running",
        "conditions": _conditions(now, Initialized=True, ContainersReady=True, Ready=True),
        "initContainerStatuses": _container("fetch", _ended(now, fetched)),
        "containerStatuses": _container("flow", {"running": {"startedAt": now}}),
    }


def _succeeded(now: str) -> Object:
    message = {"version": 1, "result": {"rows": 10}}
    return {
        "phase": "Succeeded",
        "conditions": _conditions(now, Initialized=True, ContainersReady=False, Ready=False),
        "containerStatuses": _container("flow", _ended(now, message)),
    }


def _conditions(now: str, **states: bool) -> list[Object]:
    states = {"PodScheduled": True, **states}
    return [
        {"type": name, "status": str(state), "lastTransitionTime": now}
        for name, state in states.items()
    ]


def _container(name: str, state: Object) -> list[Object]:
    known = {"image": "x", "imageID": "x", "ready": False, "restartCount": 0}
    return [{"name": name, "state": state, **known}]


def _ended(now: str, message: Object) -> Object:
    times = {"startedAt": now, "finishedAt": now}
    return {
        "terminated": {"exitCode": 0, "reason": "Completed", "message": json.dumps(message)} | times
    }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
