"""A node that is not there: the scheduler binds Pods to it, and a plan says how they live.

The kubelet is not what is tested: this one writes the statuses that a real one would, and ends
Pods that are deleted, as many at a time as there are.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from flow_operator.shell.cluster import PODS
from tests.e2e.chaos.api import Api, Changed, Object

COMMIT = "8c1f" * 10

_HEARTBEAT_SECONDS = 8.0
_STOP_SECONDS = 0.3
_SIZE = {"cpu": "10000000", "memory": "1000Ti", "pods": "100000"}


@dataclass(frozen=True)
class Life:
    """How long a Pod is seen to run, and whether it ends well."""

    seconds: float
    ends_well: bool


@dataclass(frozen=True)
class Errand:
    """What a Pod is for."""

    namespace: str
    deployment: str
    tick: str
    attempt: int


class Kubelet:
    """Plays a node.

    Args:
        api: Where it is.
        name: Of the node.
        plan: Says how a Pod lives.
    """

    def __init__(self, api: Api, name: str, plan: Callable[[Errand], Life]) -> None:
        self._api = api
        self._name = name
        self._plan = plan
        self._lives: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Be a node until cancelled."""
        await self._api.send("POST", "/api/v1/nodes", _node(self._name))
        async with asyncio.TaskGroup() as self._group:
            self._group.create_task(self._beat())
            async for seen in self._api.follow(
                PODS.path(None), fieldSelector=f"spec.nodeName={self._name}"
            ):
                for pod in [seen.object] if isinstance(seen, Changed) else seen:
                    self._look(pod, gone=isinstance(seen, Changed) and seen.kind == "DELETED")

    async def remove(self) -> None:
        """Take the node out of the cluster."""
        await self._api.send("DELETE", f"/api/v1/nodes/{self._name}")

    def _look(self, pod: Object, *, gone: bool) -> None:
        uid = pod["metadata"]["uid"]
        life = self._lives.get(uid)
        if gone:
            if life := self._lives.pop(uid, None):
                life.cancel()
        elif pod["metadata"].get("deletionTimestamp"):
            if life is None or life.get_name() != "stop":
                if life:
                    life.cancel()
                self._lives[uid] = self._group.create_task(self._stop(pod), name="stop")
        elif life is None:
            self._lives[uid] = self._group.create_task(self._live(pod), name="live")

    async def _live(self, pod: Object) -> None:
        if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            return
        life = self._plan(errand_of(pod))
        if life.seconds:
            await self._report(pod, _running())
            await asyncio.sleep(life.seconds)
        await self._report(pod, _ended(0 if life.ends_well else 1))

    async def _stop(self, pod: Object) -> None:
        if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
            await asyncio.sleep(_STOP_SECONDS)
            await self._report(pod, _ended(143))
        at_once = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
        await self._api.send("DELETE", _path(pod), at_once)

    async def _report(self, pod: Object, status: Object) -> None:
        await self._api.send("PATCH", _path(pod) + "/status", {"status": status})

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(_HEARTBEAT_SECONDS)
            status = {"status": {"conditions": _conditions()}}
            await self._api.send("PATCH", f"/api/v1/nodes/{self._name}/status", status)


def errand_of(pod: Object) -> Errand:
    """Return what the operator has told the main container."""
    env = {entry["name"]: entry.get("value", "") for entry in pod["spec"]["containers"][0]["env"]}
    return Errand(
        pod["metadata"]["namespace"],
        env["FLOW_DEPLOYMENT_NAME"],
        env.get("FLOW_SCHEDULED_TIME", ""),
        int(env["FLOW_ATTEMPT"]),
    )


def _path(pod: Object) -> str:
    return PODS.path(pod["metadata"]["namespace"], pod["metadata"]["name"])


def _node(name: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"capacity": _SIZE, "allocatable": _SIZE, "conditions": _conditions()},
    }


def _conditions() -> list[Object]:
    now = _time()
    return [
        {
            "type": kind,
            "status": "True" if kind == "Ready" else "False",
            "reason": "Played",
            "lastHeartbeatTime": now,
        }
        for kind in ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
    ]


def _time() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _running() -> Object:
    now = _time()
    return {
        "phase": "Running",
        "startTime": now,
        "initContainerStatuses": _fetched(),
        "containerStatuses": _container("flow", {"running": {"startedAt": now}}),
    }


def _fetched() -> list[Object]:
    fetched = {"version": 1, "reason": "Succeeded", "revision": COMMIT, "seconds": {"total": 0.1}}
    return _container("fetch", _terminated(0, fetched))


def _ended(code: int) -> Object:
    message = {"version": 1, "result": {"rows": 10}} if code == 0 else {}
    return {
        "phase": "Failed" if code else "Succeeded",
        "initContainerStatuses": _fetched(),
        "containerStatuses": _container("flow", _terminated(code, message)),
    }


def _terminated(code: int, message: Object) -> Object:
    now = _time()
    return {
        "terminated": {
            "exitCode": code,
            "reason": "Error" if code else "Completed",
            "message": json.dumps(message),
            "startedAt": now,
            "finishedAt": now,
        }
    }


def _container(name: str, state: Object) -> list[Object]:
    known = {"image": "x", "imageID": "x", "ready": False, "restartCount": 0}
    return [{"name": name, "state": state, **known}]
