"""The deployments of a storm, and by plain arithmetic when they tick: nothing of the operator's."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

MONDAY = 978_307_200
"""2001-01-01T00:00:00Z, which intervals are counted from, in seconds since 1970."""

Object = dict[str, Any]


@dataclass(frozen=True)
class Timer:
    """A schedule of a deployment.

    Attributes:
        name: Of the schedule.
        every: Seconds from tick to tick; None: the cron of each minute.
        offset: How many seconds after midnight of that Monday they are counted from.
        jitter: By how many seconds at most a run comes later than its tick.
    """

    name: str
    every: int | None = None
    offset: int = 0
    jitter: int = 0

    def ticks(self, after: int, until: int) -> list[int]:
        """Return the ticks later than one moment and not later than another, as Unix times."""
        step, first = (60, 0) if self.every is None else (self.every, MONDAY + self.offset)
        number = (after - first) // step + 1
        return list(range(first + number * step, until + 1, step))

    def manifest(self, *, suspend: bool = False) -> Object:
        body: Object = {"name": self.name}
        if self.every is None:
            body["cron"] = "* * * * *"
        else:
            body["interval"] = {"every": f"{self.every}s"}
            if self.offset:
                body["interval"]["anchor"] = text_of(MONDAY + self.offset)
        if self.jitter:
            body["jitter"] = f"{self.jitter}s"
        return body | ({"suspend": True} if suspend else {})


@dataclass(frozen=True)
class Flow:
    """A deployment, and how its Pods live.

    Attributes:
        name: Of the deployment.
        timers: Its schedules.
        spec: The fields of its spec that are not the same for all.
        seconds: How long a Pod runs.
        fails: One of so many runs fails; 0: none. Where the spec has retries only its first
            attempt does.
    """

    name: str
    timers: tuple[Timer, ...]
    spec: Object = field(default_factory=dict)
    seconds: float = 0.3
    fails: int = 0

    def manifest(self, namespace: str) -> Object:
        return {
            "apiVersion": "flow-operator.io/v1alpha1",
            "kind": "FlowDeployment",
            "metadata": {"name": self.name, "namespace": namespace},
            "spec": {
                "source": {"git": {"url": "https://git.example/acme/flows.git"}},
                "entrypoint": "flow.py:main",
                "schedules": self.schedules(),
                # More than any real node has: the Pods go to the one that is played.
                "resources": {"requests": {"cpu": "1000"}},
                **self.spec,
            },
        }

    def schedules(self, *, suspend: bool = False) -> list[Object]:
        return [timer.manifest(suspend=suspend) for timer in self.timers]

    def ends_well(self, tick: str, attempt: int) -> bool:
        """Tell how an attempt of the run for a tick ends."""
        if not self.fails or ("retries" in self.spec and attempt > 1):
            return True
        return zlib.crc32(f"{self.name} {tick}".encode()) % self.fails != 0


EXACT: Object = {
    "catchUp": "all",
    "concurrencyPolicy": "Allow",
    "successfulRunsHistoryLimit": 1000,
    "failedRunsHistoryLimit": 1000,
    "retries": {"limit": 3, "backoff": {"duration": "1s"}},
}
"""Every tick is run, and everything is kept."""

PULSE = "pulse"
"""Name of the deployments that tick every second: they show when somebody acted."""


def exact_flows() -> list[Flow]:
    """Return the deployments of which every tick must have run: five and a half ticks a second."""
    every = (1, 1, 2, 3, 3, 4, 5, 5, 6, 7, 8, 9, 10)
    flows = [
        Flow(f"{PULSE if step == 1 else 'every'}-{step}-{number}",
             (Timer("fast", step, offset=number % step),), EXACT, 0.2 * (number % 4), fails=11)
        for number, step in enumerate(every)
    ]  # fmt: skip
    flows += [
        Flow("cron", (Timer("minute"), Timer("fast", 5)), EXACT),
        Flow("cron-spread", (Timer("minute", jitter=10), Timer("spread", 6, jitter=9)), EXACT),
        Flow("long", (Timer("fast", 6),), EXACT, seconds=8.0),
    ]
    return flows


def policy_flows() -> list[Flow]:
    """Return the deployments whose policies drop ticks, make them wait, or cancel runs."""

    def flow(name: str, every: int, seconds: float, fails: int = 0, **spec: Any) -> Flow:
        return Flow(name, (Timer("fast", every),), spec, seconds, fails)

    forbid: Object = {"concurrencyPolicy": "Forbid"}
    enqueue: Object = {"concurrencyPolicy": "Enqueue"}
    return [
        flow("defaults-6", 6, 0.0, fails=3),
        flow("defaults-7", 7, 1.0),
        flow("history", 7, 0.2, fails=2, successfulRunsHistoryLimit=1, failedRunsHistoryLimit=0),
        flow("deadline", 7, 0.0, startingDeadlineSeconds=9),
        flow("all-deadline", 7, 0.5, catchUp="all", startingDeadlineSeconds=15),
        flow("none", 8, 0.0, catchUp="none", startingDeadlineSeconds=9),
        flow("forbid", 5, 7.0, **forbid),
        flow("forbid-all", 6, 2.0, **forbid, catchUp="all"),
        flow("forbid-two", 4, 9.0, **forbid, concurrencyLimit=2),
        flow("replace", 8, 10.0, concurrencyPolicy="Replace"),
        flow("enqueue", 8, 3.0, fails=4, **enqueue),
        flow("enqueue-two", 8, 2.0, **enqueue, concurrencyLimit=2, catchUp="all"),
        flow("enqueue-deadline", 5, 5.5, **enqueue, startingDeadlineSeconds=6),
    ]


def count(flows: Sequence[Flow], after: int, until: int) -> int:
    """Return how many ticks the deployments have in a span."""
    return sum(len(timer.ticks(after, until)) for flow in flows for timer in flow.timers)


def text_of(tick: int) -> str:
    """Return a Unix time as Kubernetes writes it."""
    return datetime.fromtimestamp(tick, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def unix(text: str) -> int:
    """Return the Unix time, in whole seconds, that Kubernetes wrote."""
    return int(datetime.fromisoformat(text).timestamp())
