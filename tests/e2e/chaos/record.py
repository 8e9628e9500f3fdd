"""A record of all that was there while the storm went on, deleted objects and old states too."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field

from flow_operator.shell.cluster import FLOW_DEPLOYMENTS, FLOW_RUNS, Resource
from tests.e2e.chaos.api import Api, Changed, Object
from tests.e2e.chaos.workload import unix

KINDS = (FLOW_DEPLOYMENTS, FLOW_RUNS)


@dataclass(frozen=True)
class State:
    """What an object said of itself, and when that was seen.

    Attributes:
        gone: Whether the object was deleted; it is as it was last then.
    """

    time: float
    object: Object
    gone: bool = False


@dataclass
class Record:
    """The states of all objects of one namespace, by kind, in the order of etcd within a kind."""

    states: defaultdict[str, list[State]] = field(default_factory=lambda: defaultdict(list))
    now: defaultdict[str, dict[str, Object]] = field(default_factory=lambda: defaultdict(dict))
    """What is there, by kind and UID."""
    changed: float = 0.0
    """When something last changed, by the monotonic clock."""

    def take(self, kind: str, seen: Changed) -> None:
        """Add a change."""
        gone = seen.kind == "DELETED"
        self._add(kind, seen.object, gone=gone)

    def reconcile(self, kind: str, items: list[Object]) -> None:
        """Add what a list shows, and what it does not show any more."""
        # Those that have ended first: nothing of a list was there before the rest of it.
        items = sorted(items, key=lambda item: "completionTime" not in (item.get("status") or {}))
        there = {item["metadata"]["uid"]: item for item in items}
        for uid, known in list(self.now[kind].items()):
            if uid not in there:
                self._add(kind, known, gone=True)
        for uid, item in there.items():
            before = self.now[kind].get(uid)
            if before is None or version(before) != version(item):
                self._add(kind, item, gone=False)

    def _add(self, kind: str, found: Object, *, gone: bool) -> None:
        self.changed = time.monotonic()
        self.states[kind].append(State(time.time(), found, gone))
        if gone:
            self.now[kind].pop(found["metadata"]["uid"], None)
        else:
            self.now[kind][found["metadata"]["uid"]] = found

    def last(self, kind: str) -> dict[str, Object]:
        """Return all objects that were ever there, by UID, as they were last."""
        return {state.object["metadata"]["uid"]: state.object for state in self.states[kind]}

    def deployments(self) -> list[Object]:
        """Return the FlowDeployments that are there now."""
        return list(self.now[FLOW_DEPLOYMENTS.kind].values())

    def runs(self) -> list[Run]:
        """Return the FlowRuns that are there now."""
        return [Run.of(run) for run in self.now[FLOW_RUNS.kind].values()]


def version(found: Object) -> str:
    return str(found["metadata"]["resourceVersion"])


@dataclass(frozen=True)
class Run:
    """What a FlowRun says of itself, as far as it matters here.

    Attributes:
        tick: The Unix time that it is for.
        acted: When somebody acted on its tick: made it, or let it begin if it was made ahead of
            that; 0: not yet.
        started: Whether it was let go ahead, so that it may have Pods.
        ended: When it ended, as the API has it; empty while it has not.
    """

    uid: str
    name: str
    deployment: str
    schedule: str
    tick: int
    created: int
    acted: int
    phase: str
    started: bool
    ended: str
    reason: str
    replaced_by: str
    raw: Object = field(repr=False, compare=False)

    @classmethod
    def of(cls, run: Object) -> Run:
        meta, spec, status = run["metadata"], run["spec"], run.get("status") or {}
        trigger = spec.get("trigger") or {}
        phase = status.get("phase", "")
        verdict: Object = next(
            (c for c in status.get("conditions", []) if c["type"] == "Succeeded"), {}
        )
        notes = meta.get("annotations") or {}
        begun = status.get("startTime") or status.get("completionTime")
        ahead = "flow-operator.io/made-ahead" in notes
        acted = meta["creationTimestamp"] if not ahead else begun
        return cls(
            uid=meta["uid"],
            name=meta["name"],
            deployment=spec["deploymentRef"]["name"],
            schedule=trigger.get("schedule", ""),
            tick=unix(trigger.get("scheduledTime", "1970-01-01T00:00:00Z")),
            created=unix(meta["creationTimestamp"]),
            acted=unix(acted) if acted else 0,
            phase=phase,
            started=bool(status.get("resolvedSpec")) and phase != "Queued",
            ended=status.get("completionTime", ""),
            reason=verdict.get("reason", ""),
            replaced_by=notes.get("flow-operator.io/replaced-by", ""),
            raw=run,
        )


async def keep(record: Record, api: Api, resource: Resource, namespace: str) -> None:
    """Keep the record of one kind until cancelled."""
    async for seen in api.follow(resource.path(namespace)):
        if isinstance(seen, Changed):
            record.take(resource.kind, seen)
        else:
            record.reconcile(resource.kind, seen)
