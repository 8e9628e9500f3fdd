"""How long after an apply its Job is there, and how long after a tick.

Applies are measured twice: alone, when nothing becomes of the Jobs, and with the Job controller and
the garbage collector at work, which take a third of the API server. Ticks have these beside them.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.bench.places import BenchError
from tests.bench.scale import objects
from tests.bench.scale.api import Api, Object, Seen
from tests.bench.scale.bench import Options, control_plane, say, until
from tests.bench.scale.figures import Judged, Section, percentile
from tests.bench.scale.operators import Operator, running
from tests.bench.scale.usage import Meter
from tests.bench.tables import Row

_RATE = 20.0
_NAMESPACE = "latency"
_EVERY = 60


@dataclass
class Arrivals:
    """When the Jobs of each deployment arrived."""

    of: dict[str, list[float]] = field(default_factory=dict)

    def note(self, seen: Seen) -> None:
        """Take note of an event of the watch of Jobs."""
        owner = objects.owner_of(seen.name)
        if owner and seen.type == "ADDED":
            self.of.setdefault(owner, []).append(seen.at)


@dataclass
class Ticks:
    """From ticks to the arrivals of their Jobs.

    Attributes:
        begin: The first moment whose ticks count.
        end: The first moment whose ticks count no more.
        seconds: Of each run, by name.
    """

    begin: float
    end: float
    seconds: dict[str, float] = field(default_factory=dict)
    _ticks: dict[str, float] = field(default_factory=dict)
    _jobs: dict[str, float] = field(default_factory=dict)

    def run(self, seen: Seen) -> None:
        """Take note of an event of the watch of FlowRuns."""
        tick = datetime.fromisoformat(seen.object["spec"]["trigger"]["scheduledTime"]).timestamp()
        if self.begin <= tick < self.end:
            self._ticks[seen.name] = tick
            self._join(seen.name)

    def job(self, seen: Seen) -> None:
        """Take note of an event of the watch of Jobs."""
        if seen.type == "ADDED":
            run = seen.meta["ownerReferences"][0]["name"]
            self._jobs[run] = seen.at
            self._join(run)

    def _join(self, run: str) -> None:
        # The two watches are not in step.
        if run in self._ticks and run in self._jobs:
            self.seconds[run] = self._jobs[run] - self._ticks[run]


async def measure(options: Options) -> Section:
    """Measure both."""
    section = Section("latency", "apply to Job, and tick to Job", tables=[[_HEAD]])
    async with control_plane() as (plane, api):
        await api.namespace(_NAMESPACE)
        async with running(Operator(plane, options.build)) as operator:
            pids = {name: plane.pid(name) for name in ("kube-apiserver", "etcd")}
            pids["operator"] = operator.pid
            await _applies(api, options, pids, section, "alone")
            await _clear(api)
            with plane.controllers("job-controller", "garbage-collector-controller") as manager:
                pids["controllers"] = manager
                await _applies(api, options, pids, section, "Job controller at work")
                await _clear(api)
                await _ticks(api, options, pids, section)
    return section


async def _clear(api: Api) -> None:
    await api.delete_all(_NAMESPACE, "FlowDeployment", "FlowRun", "Job", "Pod")
    await api.settled()


async def _applies(
    api: Api, options: Options, pids: dict[str, int], section: Section, how: str
) -> None:
    seconds = 5 if options.quick else 60
    count = int(seconds * _RATE)
    say(f"latency: {_RATE:.0f} applies a second for {seconds} s, {how}")
    arrivals = Arrivals()
    sent: dict[str, float] = {}
    answered: list[float] = []
    async with api.watching("Job", _NAMESPACE, arrivals.note), asyncio.TaskGroup() as group:
        meter, began = Meter(pids), time.time() + 1

        async def apply(name: str, at: float) -> None:
            await api.create(objects.deployment(_NAMESPACE, name))
            answered.append(time.time() - at)

        for number in range(count):
            # From when it was to be sent: a bench that is late must not hide what waits.
            at = began + number / _RATE
            await asyncio.sleep(at - time.time())
            name = f"apply-{number:04}"
            sent[name] = at
            group.create_task(apply(name, at))
        await until(lambda: len(arrivals.of) >= count, f"{count} Jobs")
        cpu, took = meter.read(), meter.elapsed()
    values = [arrivals.of[name][0] - at for name, at in sent.items()]
    section.tables[0].append(_row(f"apply → Job, {_RATE:.0f} a second, {how}", values, cpu, took))
    section.tables[0].append(_row("apply → answer, of these", answered, {}, took))
    section.data[how] = {"seconds": values, "answers": answered, "cpu": cpu, "wall": took}
    section.goals += [
        Judged(f"apply → Job, median, {how}", percentile(values, 0.5) * 1000, 150, "ms", 0),
        Judged(f"apply → Job, p99, {how}", percentile(values, 0.99) * 1000, 1000, "ms", 0),
    ]


async def _ticks(api: Api, options: Options, pids: dict[str, int], section: Section) -> None:
    count, cycles = (30, 1) if options.quick else (600, 2)
    every = 20 if options.quick else _EVERY
    began = int(time.time()) + (10 if options.quick else 40)
    anchors = {f"tick-{i:04}": began + i * every // count for i in range(count)}
    say(f"latency: {count} schedules, every {every} s each, for {cycles * every} s")
    ticks = Ticks(began, began + cycles * every)
    async with (
        api.watching("FlowRun", _NAMESPACE, ticks.run, whole=True),
        api.watching("Job", _NAMESPACE, ticks.job),
    ):
        await api.together(api.create(_ticking(name, at, every)) for name, at in anchors.items())
        if time.time() > began:
            raise BenchError("the deployments were not there before the first tick that counts")
        await asyncio.sleep(began - time.time())
        meter = Meter(pids)
        await until(
            lambda: len(ticks.seconds) >= cycles * count and time.time() > ticks.end,
            f"the Jobs of {cycles * count} ticks",
            patience=cycles * every + 60,
        )
        cpu, took = meter.read(), meter.elapsed()
    values = list(ticks.seconds.values())
    if min(values) < 0:
        raise BenchError(f"a Job came {-min(values):.3f} s before its tick")
    section.tables[0].append(_row(f"tick → Job, {count / every:.0f} a second", values, cpu, took))
    section.data["tick"] = {"seconds": values, "cpu": cpu, "wall": took}
    section.goals.append(Judged("tick → Job, p99", percentile(values, 0.99) * 1000, 1000, "ms", 0))


def _ticking(name: str, at: float, every: int) -> Object:
    anchor = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return objects.deployment(_NAMESPACE, name, schedules=objects.every(every, anchor))


_HEAD: Row = (
    "what", "number", "median ms", "p90 ms", "p99 ms", "highest ms", "operator, of a core",
    "controllers", "API server", "etcd",
)  # fmt: skip


def _row(what: str, values: list[float], cpu: dict[str, float], took: float) -> Row:
    shares = (0.5, 0.9, 0.99, 1.0)
    names = ("operator", "controllers", "kube-apiserver", "etcd")
    return (
        what,
        f"{len(values):,}",
        *(f"{percentile(values, share) * 1000:.0f}" for share in shares),
        *(f"{cpu[name] / took:.0%}" if name in cpu else "" for name in names),
    )
