"""Fast ticks, deployments that come, change and go, Pods that live and end: for ten minutes.

It is what a hundred deployments that are due every two minutes make in an hour. Does memory grow
with what has been and gone, do all watches live, has every tick its run?
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from tests.bench.scale import objects
from tests.bench.scale.api import Api, Object, RefusedError, Seen
from tests.bench.scale.bench import Options, control_plane, say, until
from tests.bench.scale.figures import Judged, Section, percentile, slope
from tests.bench.scale.kubelet import Kubelet
from tests.bench.scale.operators import Operator, running
from tests.bench.scale.usage import MIB, Memory, Meter
from tests.bench.tables import Row

_NAMESPACE = "soak"
_EVERY = 20
_CHURN_SECONDS = 1.0
_SAMPLE_SECONDS = 2.0
_WARM_UP = 0.3
"""The share of the time that memory may settle in."""
_GROWTH = 1.0
"""MiB in 1,000 runs that count as flat."""
_LAST_SECONDS = 10.0
"""What a deployment that is applied at the end may take to its Job."""


@dataclass
class Ledger:
    """The runs that were seen to have a Job.

    Attributes:
        every: Seconds between two ticks of a deployment.
        ticks: How many Jobs each tick of each deployment has.
        late: Seconds from ticks to their Jobs.
        runs: How many Jobs there were; each run has one.
    """

    every: int
    ticks: Counter[tuple[str, float]] = field(default_factory=Counter)
    late: list[float] = field(default_factory=list)
    runs: int = 0
    _due: dict[str, tuple[str, float]] = field(default_factory=dict)
    _jobs: dict[str, list[float]] = field(default_factory=dict)

    def run(self, seen: Seen) -> None:
        """Take note of an event of the watch of FlowRuns."""
        tick = (seen.object["spec"].get("trigger") or {}).get("scheduledTime")
        if seen.type == "ADDED" and tick:
            at = datetime.fromisoformat(tick).timestamp()
            uid = str(seen.meta["uid"])
            self._due[uid] = seen.object["spec"]["deploymentRef"]["name"], at
            self._join(uid)

    def job(self, seen: Seen) -> None:
        """Take note of an event of the watch of Jobs."""
        if seen.type == "ADDED":
            self.runs += 1
            uid = str(seen.meta["ownerReferences"][0]["uid"])
            self._jobs.setdefault(uid, []).append(seen.at)
            self._join(uid)

    def _join(self, uid: str) -> None:
        # The two watches are not in step.
        if uid in self._due:
            for at in self._jobs.pop(uid, []):
                self.ticks[self._due[uid]] += 1
                self.late.append(at - self._due[uid][1])

    def problems(self, steady: list[str], until_tick: float) -> tuple[int, int]:
        """How many ticks are lost, and how many double, of deployments that stay the same."""
        lost = 0
        for name in steady:
            ticks = sorted(at for owner, at in self.ticks if owner == name)
            if not ticks:
                lost += 1
                continue
            expected = int((until_tick - ticks[0]) // self.every) + 1
            lost += expected - sum(at <= until_tick for at in ticks)
        return lost, sum(number > 1 for number in self.ticks.values())


@dataclass(frozen=True)
class Sample:
    """Memory, and how many runs there had been by then."""

    seconds: float
    runs: int
    memory: Memory


async def measure(options: Options) -> Section:
    """Let it run."""
    minutes = options.minutes or (0.75 if options.quick else 10)
    count, every = options.size(100, 20), 5 if options.quick else _EVERY
    async with control_plane() as (plane, api):
        await api.namespace(_NAMESPACE)
        ledger, kubelet, samples = Ledger(every), Kubelet(api), list[Sample]()
        with plane.controllers("job-controller", "garbage-collector-controller") as manager:
            async with (
                running(Operator(plane, options.build)) as operator,
                kubelet.playing(_NAMESPACE),
                api.watching("FlowRun", _NAMESPACE, ledger.run, whole=True),
                api.watching("Job", _NAMESPACE, ledger.job),
            ):
                pids = {"operator": operator.pid, "controllers": manager}
                pids |= {name: plane.pid(name) for name in ("kube-apiserver", "etcd")}
                say(f"soak: {count} deployments, every {every} s each, for {minutes:g} minutes")
                names = [f"soak-{number:04}" for number in range(count)]
                await api.together(api.create(_deployment(name, every)) for name in names)
                steady, churned = names[: count // 2], names[count // 2 :]
                before, meter, began = await api.requests(), Meter(pids), time.time()
                churning = asyncio.create_task(_churn(api, churned, every))
                while (passed := time.time() - began) < minutes * 60:
                    samples.append(Sample(passed, ledger.runs, operator.memory()))
                    await asyncio.sleep(_SAMPLE_SECONDS)
                    if churning.done():
                        await churning
                churning.cancel()
                cpu, took = meter.read(), meter.elapsed()
                requests = (await api.requests()).since(before)
                await asyncio.sleep(3)
                lost, double = ledger.problems(steady, time.time() - 3)
                reaction = await _reaction(api)
                healthy = await operator.healthy()
                left = await _left(api)
                complaints = operator.complaints()
    runs = samples[-1].runs
    section = Section("soak", f"{count} deployments for {minutes:g} minutes, {runs:,} runs")
    grown = _growth(samples, section)
    section.tables.append(
        [
            ("over all", ""),
            ("runs", f"{runs:,}"),
            ("of them played to their end", f"{kubelet.played:,}"),
            ("tick to Job, median ms", f"{percentile(ledger.late, 0.5) * 1000:.0f}"),
            ("tick to Job, p99 ms", f"{percentile(ledger.late, 0.99) * 1000:.0f}"),
            ("the operator's requests a run", f"{requests.operator / max(runs, 1):.1f}"),
            *((f"{name}, of a core", f"{seconds / took:.0%}") for name, seconds in cpu.items()),
            *((f"{kind}s at the end", f"{number:,}") for kind, number in left.items()),
        ]
    )
    if complaints:
        shown = "; ".join(f"{text} ({number})" for text, number in complaints.most_common(5))
        section.notes.append(f"Warnings in the operator's log: {shown}.")
    section.goals += [
        grown,
        Judged("ticks lost or doubled", lost + double, 0, "", 0),
        Judged("at the end: from apply to Job", reaction, _LAST_SECONDS, "s", 1),
        Judged("at the end: probes that fail", 0 if healthy else 1, 0, "", 0),
    ]
    section.data = {
        "samples": [asdict(sample) for sample in samples],
        "runs": runs,
        "cpu": cpu,
        "wall": took,
        "requests": requests.operator,
        "complaints": dict(complaints),
    }
    return section


def _growth(samples: list[Sample], section: Section) -> Judged:
    """Fit a line to the memory after the warm-up."""
    warm = [sample for sample in samples if sample.seconds >= samples[-1].seconds * _WARM_UP]
    rows: list[Row] = [("memory", "at first MiB", "after warm-up", "at last", "MiB in 1,000 runs")]
    fitted = {}
    for name in ("rss", "pss"):
        points = [(sample.runs / 1000, getattr(sample.memory, name) / MIB) for sample in warm]
        fitted[name] = slope(points)
        rows.append(
            (
                name.upper(),
                f"{getattr(samples[0].memory, name) / MIB:.1f}",
                f"{points[0][1]:.1f}",
                f"{points[-1][1]:.1f}",
                f"{fitted[name].value:+.2f} ± {fitted[name].error:.2f}",
            )
        )
    section.tables.append(rows)
    return Judged("growth of RSS in 1,000 runs", fitted["rss"].value, _GROWTH, "MiB")


async def _churn(api: Api, names: list[str], every: int) -> None:
    """Edit, delete and make anew one deployment after the other."""
    for turn, name in enumerate(itertools.cycle(names)):
        await asyncio.sleep(_CHURN_SECONDS)
        what = turn // len(names) % 3
        try:
            if what == 0:
                change = {"spec": {"parameters": {"turn": turn}, "runOn": ["SpecChange"]}}
                await api.patch("FlowDeployment", _NAMESPACE, name, change)
            elif what == 1:
                await api.delete("FlowDeployment", _NAMESPACE, name)
            else:
                await api.create(_deployment(name, every))
        except RefusedError as error:
            if error.status not in (404, 409):
                raise


async def _reaction(api: Api) -> float:
    """Seconds from an apply to its Job."""
    arrived: list[float] = []

    def note(seen: Seen) -> None:
        if seen.type == "ADDED" and objects.owner_of(seen.name) == "last-0001":
            arrived.append(seen.at)

    async with api.watching("Job", _NAMESPACE, note):
        began = time.time()
        await api.create(objects.deployment(_NAMESPACE, "last-0001"))
        await until(lambda: bool(arrived), "the Job of the last deployment", 60)
    return arrived[0] - began


async def _left(api: Api) -> dict[str, int]:
    kinds = ("FlowDeployment", "FlowRun", "Job", "Pod")
    return {kind: len(await api.list(kind, _NAMESPACE)) for kind in kinds}


def _deployment(name: str, every: int) -> Object:
    """Due every so often, another second for each; only the last run of each kind is kept."""
    anchor = datetime.fromtimestamp(1_767_225_600 + int(name[-4:]) % every, UTC)
    schedules = objects.every(every, anchor.strftime("%Y-%m-%dT%H:%M:%SZ"))
    return objects.deployment(
        _NAMESPACE,
        name,
        schedules=schedules,
        successfulRunsHistoryLimit=1,
        failedRunsHistoryLimit=1,
    )
