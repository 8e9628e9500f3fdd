"""An API server of dictionaries, and operators whose watches lag behind it as they please."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from flow_operator.core.settings import Settings
from flow_operator.shell.cluster import (
    EVENTS,
    FLOW_DEPLOYMENTS,
    FLOW_RUNS,
    JOBS,
    PODS,
    WATCHED,
    Cluster,
    Resource,
)
from flow_operator.shell.errors import AlreadyExistsError, ConflictError, NotFoundError
from flow_operator.shell.keys import Concern, Key
from flow_operator.shell.reconciler import Reconciler
from flow_operator.shell.records import controller_uid, record_of
from flow_operator.shell.room import Room
from flow_operator.shell.store import Store
from flow_operator.shell.stream import BOOKMARK
from flow_operator.shell.sync import compare
from tests.unit.core.world import FETCHED, T0, pod, stamp, terminated

Manifest = dict[str, Any]
Place = tuple[str, str]


class KilledError(Exception):
    """The operator was killed."""


class MemoryApi:
    """Has what the operator asks of a `Cluster`; every answer is a copy.

    Attributes:
        now: The time.
        created: How often an object of a kind and name was ever created.
        kill_after: At which write from now the writer is killed, and whether it is carried out.
        watchers: Told of every change.
    """

    def __init__(self) -> None:
        self.now: datetime = T0
        self.created: Counter[Place] = Counter()
        self.kill_after: tuple[int, bool] | None = None
        self.watchers: list[Callable[[Resource, str, Manifest], None]] = []
        self._objects: dict[Place, Manifest] = {}
        self._version = 0

    def all(self, resource: Resource) -> list[Manifest]:
        return [deepcopy(o) for (kind, _), o in self._objects.items() if kind == resource.kind]

    async def find(self, resource: Resource, namespace: str, name: str) -> Manifest | None:
        return deepcopy(self._objects.get((resource.kind, name)))

    async def version(self, *_: Any) -> int:
        return self._version

    async def list(
        self, resource: Resource, namespace: str | None, *, labels: str = "", fields: str = ""
    ) -> list[Manifest]:
        if resource is EVENTS:
            return []
        found = self.all(resource)
        for selector in filter(None, labels.split(",")):
            name, _, value = selector.partition("=")
            found = [o for o in found if o["metadata"].get("labels", {}).get(name) == value]
        for selector in filter(None, fields.split(",")):
            assert selector.startswith("spec.deploymentRef.name=")
            value = selector.partition("=")[2]
            found = [o for o in found if o["spec"]["deploymentRef"]["name"] == value]
        return found

    async def everything(self, resource: Resource, *_: Any, **__: Any) -> Any:
        for manifest in self.all(resource):
            yield "ADDED", manifest
        yield BOOKMARK, {"metadata": {"resourceVersion": str(self._version)}}

    async def create(self, resource: Resource, manifest: Manifest) -> Manifest:
        with _Write(self):
            if resource is EVENTS:
                return {}
            place = (resource.kind, manifest["metadata"]["name"])
            if place in self._objects:
                raise AlreadyExistsError(place[1])
            self.created[place] += 1
            created = deepcopy(manifest)
            created["metadata"] |= {
                "uid": f"uid-{sum(self.created.values())}",
                "generation": 1,
                "creationTimestamp": stamp(self.now),
            }
            return self.put(resource, created)

    async def replace_status(
        self, resource: Resource, read: Manifest, status: Manifest
    ) -> Manifest:
        with _Write(self):
            there = self._there(resource, read["metadata"]["name"], read["metadata"]["uid"])
            if there["metadata"]["resourceVersion"] != read["metadata"]["resourceVersion"]:
                raise ConflictError
            return self.put(resource, {**there, "status": deepcopy(status)})

    async def patch(
        self, resource: Resource, namespace: str, name: str, uid: str, change: Manifest
    ) -> Manifest:
        with _Write(self):
            there = deepcopy(self._there(resource, name, uid))
            there["spec"] |= change["spec"]
            annotations = change.get("metadata", {}).get("annotations", {})
            there["metadata"].setdefault("annotations", {}).update(annotations)
            return self.put(resource, there)

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str) -> None:
        with _Write(self):
            self._there(resource, name, uid)
            self.remove(resource, name)

    def put(self, resource: Resource, manifest: Manifest) -> Manifest:
        """Store an object, whoever does it, and tell the watchers."""
        self._version += 1
        stored = deepcopy(manifest)
        stored["metadata"]["resourceVersion"] = str(self._version)
        self._objects[resource.kind, stored["metadata"]["name"]] = stored
        self._tell(resource, "MODIFIED", stored)
        return deepcopy(stored)

    def remove(self, resource: Resource, name: str) -> None:
        """Delete an object and all that it controls."""
        gone = self._objects.pop((resource.kind, name))
        self._version += 1
        gone["metadata"]["resourceVersion"] = str(self._version)
        self._tell(resource, "DELETED", gone)
        for owned in WATCHED:
            for other in self.all(owned):
                if controller_uid(other) == gone["metadata"]["uid"]:
                    self.remove(owned, other["metadata"]["name"])

    def _there(self, resource: Resource, name: str, uid: str) -> Manifest:
        there = self._objects.get((resource.kind, name))
        if there is None:
            raise NotFoundError(name)
        if there["metadata"]["uid"] != uid:
            raise ConflictError(name)
        return there

    def _tell(self, resource: Resource, kind: str, manifest: Manifest) -> None:
        for watcher in self.watchers:
            watcher(resource, kind, deepcopy(manifest))

    def end_pods(self, *, fail: bool = False) -> None:
        """Play Job controller and kubelet: every Job that may run does, to its end."""
        for job in self.all(JOBS):
            if job.get("status", {}).get("conditions"):
                continue
            if not job["spec"].get("suspend"):
                done = terminated(1) if fail else terminated(0, '{"version":1,"result":1}')
                made = pod(FETCHED, done, phase="Failed" if fail else "Succeeded")
                name = job["metadata"]["name"]
                made["metadata"] |= {
                    "name": f"{name}-p",
                    "namespace": "data",
                    "uid": f"uid-{name}-p",
                    "labels": job["spec"]["template"]["metadata"]["labels"],
                    "ownerReferences": [
                        {"apiVersion": "batch/v1", "kind": "Job", "name": name,
                         "uid": job["metadata"]["uid"], "controller": True}
                    ],
                }  # fmt: skip
                self.put(PODS, made)
                verdict = {"type": "Failed" if fail else "Complete", "status": "True"}
                self.put(JOBS, {**job, "status": {"conditions": [verdict]}})


class _Write:
    """Kills the writer before or after a write, when its time has come."""

    def __init__(self, api: MemoryApi) -> None:
        self._api = api

    def __enter__(self) -> None:
        if self._api.kill_after == (0, False):
            self._api.kill_after = None
            raise KilledError

    def __exit__(self, *_: object) -> None:
        if self._api.kill_after is None:
            return
        left, carried_out = self._api.kill_after
        self._api.kill_after = (left - 1, carried_out)
        if left == 0:
            self._api.kill_after = None
            raise KilledError


@dataclass
class Operator:
    """A process: a store that hears of changes when it is told to, and what it is to look at."""

    api: MemoryApi
    leads: Callable[[Operator], bool]
    settings: Settings = field(default_factory=Settings)
    inboxes: dict[str, deque[tuple[Resource, str, Manifest]]] = field(default_factory=dict)
    due: dict[Key, datetime] = field(default_factory=dict)

    def __post_init__(self) -> None:
        def seconds() -> float:
            return (self.api.now - T0).total_seconds()

        def changed(told: Concern) -> None:
            self.enqueue(*told.now, *told.later)
            self.room.leave(told.over)

        self.store = Store(changed, clock=seconds)
        self.room = Room(self.store, self.settings, self.enqueue)
        self.reconciler = Reconciler(
            cast("Cluster", self.api),
            self.store,
            self.settings,
            self.room,
            lambda: self.leads(self),
            clock=lambda: self.api.now,
        )
        self.inboxes = {resource.kind: deque() for resource in WATCHED}
        self.api.watchers.append(self.hear)
        for resource in WATCHED:
            for manifest in self.api.all(resource):
                self.store.saw(resource, manifest)

    def die(self) -> None:
        self.api.watchers.remove(self.hear)

    def hear(self, resource: Resource, kind: str, manifest: Manifest) -> None:
        self.inboxes[resource.kind].append((resource, kind, manifest))

    def deliver(self, kind: str, count: int) -> None:
        """Let the watch of a kind catch up by a number of events."""
        inbox = self.inboxes[kind]
        while inbox and count:
            resource, what, manifest = inbox.popleft()
            note = self.store.drop if what == "DELETED" else self.store.take
            note(*record_of(resource, manifest))
            count -= 1

    def list_again(self, kind: str) -> None:
        """As kopf does after 410 Gone: what was deleted meanwhile is not told."""
        self.inboxes[kind].clear()
        for resource in WATCHED:
            if resource.kind == kind:
                for manifest in self.api.all(resource):
                    self.store.saw(resource, manifest)

    async def resync(self) -> None:
        for resource in WATCHED:
            await compare(cast("Cluster", self.api), None, resource, self.store)
        self.enqueue(*self.store.keys())

    def enqueue(self, *keys: Key) -> None:
        for key in keys:
            self.due[key] = self.api.now

    async def work(self, order: Callable[[list[Key]], list[Key]] = sorted, limit: int = 500) -> int:
        """Look at what is due; return how many looks that took."""
        for count in range(limit):
            ready = [key for key, when in self.due.items() if when <= self.api.now]
            if not ready:
                return count
            key = order(ready)[0]
            del self.due[key]
            wait = await self.reconciler(key)
            if wait is not None:
                when = self.api.now + timedelta(seconds=wait)
                self.due[key] = min(self.due.get(key, when), when)
        raise AssertionError(f"never at rest: {sorted(map(str, self.due))[:5]}")


def jobs_by_run(api: MemoryApi) -> Iterator[tuple[str, list[str]]]:
    """Yield each FlowRun with the Jobs that it controls."""
    for run in api.all(FLOW_RUNS):
        uid = run["metadata"]["uid"]
        yield (
            run["metadata"]["name"],
            [job["metadata"]["name"] for job in api.all(JOBS) if controller_uid(job) == uid],
        )


__all__ = ["FLOW_DEPLOYMENTS", "FLOW_RUNS", "JOBS", "PODS", "KilledError", "MemoryApi", "Operator"]
