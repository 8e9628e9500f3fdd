"""The leader is killed, with everything loaded: how long until the next due tick has its Job.

Two operators share a Lease. A deployment is due every few seconds; none of its ticks may be lost or
run twice.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median

from tests.bench.places import BenchError
from tests.bench.scale import objects
from tests.bench.scale.api import Api, Seen
from tests.bench.scale.bench import Options, say, until
from tests.bench.scale.figures import Judged, Section
from tests.bench.scale.kubelet import Kubelet
from tests.bench.scale.load import Loaded
from tests.bench.scale.operators import Operator
from tests.bench.scale.plane import Plane
from tests.bench.tables import Row

_NAMESPACE = "failover"
_NAME = "due-0001"
_EVERY = 3
_LEASE = {"namespace": "flow-system", "name": "flow-operator"}
_ENVIRONMENT = {
    "FLOW_OPERATOR_LEASE": _LEASE["name"],
    "FLOW_OPERATOR_LEASE_NAMESPACE": _LEASE["namespace"],
}


@dataclass
class Ticks:
    """The runs and Jobs that were seen.

    Attributes:
        runs: The ticks of all runs that were ever made, ahead or not, by UID.
        jobs: How many Jobs each of them has.
        arrived: When the Jobs came, in order.
    """

    runs: dict[str, datetime] = field(default_factory=dict)
    jobs: Counter[str] = field(default_factory=Counter)
    arrived: list[float] = field(default_factory=list)

    def run(self, seen: Seen) -> None:
        """Take note of an event of the watch of FlowRuns."""
        if seen.type == "ADDED":
            time_of_tick = seen.object["spec"]["trigger"]["scheduledTime"]
            self.runs[str(seen.meta["uid"])] = datetime.fromisoformat(time_of_tick)

    def job(self, seen: Seen) -> None:
        """Take note of an event of the watch of Jobs."""
        if seen.type == "ADDED":
            self.jobs[seen.meta["ownerReferences"][0]["uid"]] += 1
            self.arrived.append(seen.at)

    def lost(self) -> int:
        """How many ticks between the first and the last that was run have no run."""
        ticks = sorted({tick for uid, tick in self.runs.items() if uid in self.jobs})
        expected = (ticks[-1] - ticks[0]).total_seconds() / _EVERY + 1
        return round(expected) - len(ticks)

    def double(self) -> int:
        """How many ticks have more than one run, and runs more than one Job."""
        runs = Counter(self.runs.values())
        return sum(number > 1 for number in (*runs.values(), *self.jobs.values()))


async def measure(plane: Plane, api: Api, options: Options, loaded: Loaded) -> Section:
    """Kill leaders."""
    repeats = options.rounds or (2 if options.quick else 7)
    await api.namespace(_NAMESPACE)
    found, taken, ticks = [], [], Ticks()
    with plane.controllers("job-controller", "garbage-collector-controller"):
        async with (
            _pair(plane, options) as pair,
            Kubelet(api).playing(_NAMESPACE),
            api.watching("FlowRun", _NAMESPACE, ticks.run, whole=True),
            api.watching("Job", _NAMESPACE, ticks.job),
        ):
            await _leader(api, pair)
            # By now the Job controller has seen everything.
            await api.create(_due())
            await until(lambda: len(ticks.arrived) > 2, "the first ticks")
            for number in range(repeats):
                say(f"failover: {number + 1} of {repeats}")
                seconds, seconds_of_lease = await _kill(api, pair, ticks)
                found.append(seconds)
                taken.append(seconds_of_lease)
                say(f"the next tick's Job {seconds:.1f} s after the kill")
            await asyncio.sleep(2 * _EVERY)
    section = Section(
        "failover", f"SIGKILL of the leader, {loaded.count:,} deployments, a tick every {_EVERY} s"
    )
    rows: list[Row] = [
        ("seconds after the kill", "median", "lowest", "highest"),
        ("another holds the Lease", *_spread(taken)),
        ("Job of the next due tick", *_spread(found)),
    ]
    section.tables.append(rows)
    section.notes.append(
        f"{repeats} kills, {len(ticks.jobs):,} ticks: {ticks.lost()} lost, {ticks.double()} double."
    )
    section.goals += [
        Judged("next due tick's Job, worst", max(found), 15, "s", 1),
        Judged("ticks lost or doubled", ticks.lost() + ticks.double(), 0, "", 0),
    ]
    section.data = {"seconds": found, "taken": taken, "ticks": len(ticks.jobs)}
    return section


async def _kill(api: Api, pair: list[Operator], ticks: Ticks) -> tuple[float, float]:
    """Kill the leader between two ticks; seconds to the next Job, and to another leader.

    The killed one is started again afterwards.
    """
    leader = await _leader(api, pair)
    seen = len(ticks.arrived)
    await until(lambda: len(ticks.arrived) > seen, "a tick")
    # Somewhere between two ticks and two renewals, and not with a Job on its way.
    await asyncio.sleep(random.uniform(0.5, _EVERY - 0.5))
    seen, killed = len(ticks.arrived), time.time()
    leader.kill()
    other = await _leader(api, pair, instead_of=leader)
    taken = time.time() - killed
    await until(lambda: len(ticks.arrived) > seen, "a tick after the kill", 120)
    seconds = ticks.arrived[seen] - killed
    await leader.stop()
    await leader.start()
    await leader.ready()
    assert other is not leader
    return seconds, taken


async def _leader(
    api: Api, pair: list[Operator], *, instead_of: Operator | None = None
) -> Operator:
    """The operator that holds the Lease, once one of them does."""
    for _ in range(1200):
        lease = await api.find("Lease", _LEASE["namespace"], _LEASE["name"]) or {}
        holder = (lease.get("spec") or {}).get("holderIdentity") or ""
        for operator in pair:
            if holder.startswith(operator.name) and operator is not instead_of:
                return operator
        await asyncio.sleep(0.05)
    raise BenchError("nobody takes the Lease: does this operator know FLOW_OPERATOR_LEASE?")


@asynccontextmanager
async def _pair(plane: Plane, options: Options) -> AsyncIterator[list[Operator]]:
    pair = [
        Operator(plane, options.build, name=f"operator-{letter}", environment=_ENVIRONMENT)
        for letter in "ab"
    ]
    try:
        for operator in pair:
            await operator.start()
            await operator.ready()
        yield pair
    finally:
        for operator in pair:
            await operator.stop()


def _due() -> dict[str, object]:
    return objects.deployment(
        _NAMESPACE,
        _NAME,
        schedules=objects.every(_EVERY),
        catchUp="all",
        successfulRunsHistoryLimit=1000,
    )


def _spread(values: list[float]) -> tuple[str, str, str]:
    return f"{median(values):.1f}", f"{min(values):.1f}", f"{max(values):.1f}"
