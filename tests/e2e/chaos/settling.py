"""Waits until all that a storm has left to do is done."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from flow_operator.shell.cluster import FLOW_DEPLOYMENTS
from tests.e2e.chaos.aftermath import Times
from tests.e2e.chaos.api import Api
from tests.e2e.chaos.lab import Patience
from tests.e2e.chaos.record import Record
from tests.e2e.chaos.workload import PULSE, Flow, Object, text_of, unix

ON_TIME = 2
"""How many seconds after its tick a run may begin, if somebody could act."""

QUEUED = ("Queued",)

_CALM_COMES = 30.0
_RECORD_SECONDS = 15.0
_REST_SECONDS = 2.5


@dataclass
class Settling:
    """The end of a storm.

    Args:
        api: The API server.
        namespace: Of the storm.
        flows: Its deployments.
        needed: The names of those all of whose ticks must get their run.
        record: What is there.
        patience: How to wait.
        say: Tells people how far it is.
        schedules: What was on record of schedules that are gone in the end, by deployment.
    """

    api: Api
    namespace: str
    flows: Sequence[Flow]
    needed: Collection[str]
    record: Record
    patience: Patience
    say: Callable[[str], None]
    schedules: dict[str, list[Object]] = field(default_factory=dict)

    async def wait(self, calm_seconds: float) -> Times:
        """Wait until nothing is left to do, once all has gone well for some seconds."""
        ended = time.time()
        await self._catch_up(int(ended))
        self.say("every tick has its run")
        if calm_seconds:
            # On a machine that is too slow for it there is no calm, and less to be judged.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CALM_COMES):
                    while not self._on_time():
                        await asyncio.sleep(0.25)
            self.say("calm")
            await asyncio.sleep(calm_seconds)
        rest = time.time()
        for flow in self.flows:
            await self._suspend(flow)
        suspended = time.time()
        await self.patience.wait(
            lambda: len(self._unsettled(QUEUED)),
            "everything to end that has begun",
            lambda: "; ".join(self._unsettled(QUEUED)[:20]),
        )
        await self._let_go()
        await self.patience.wait(
            lambda: len(self._unsettled()),
            "everything to end",
            lambda: "; ".join(self._unsettled()[:20]),
        )
        self.say("everything has ended")
        return Times(ended, rest, suspended)

    async def _catch_up(self, until: int) -> None:
        """Wait until every tick up to a moment has its run and, if that is soon, is on record."""
        busy = {flow.name for flow in self.flows if flow.name in self.needed}
        made = time.monotonic()

        async def behind_by() -> int:
            """Let those rest that have caught up, so that the others have the machine."""
            nonlocal made
            missing = self._missing(until)
            behind = {tick.partition("/")[0] for tick in missing}
            if behind:
                made = time.monotonic()
            if time.monotonic() - made < _RECORD_SECONDS:
                behind |= busy & self._unrecorded(until)
            for flow in self.flows:
                if flow.name in busy - behind and not flow.name.startswith(PULSE):
                    await self._suspend(flow)
            busy.intersection_update(behind)
            return len(missing) + len(behind)

        await self.patience.wait(
            behind_by,
            "every tick to get its run",
            lambda: f"none for {self._missing(until)[:20]}",
        )

    async def _suspend(self, flow: Flow) -> None:
        await self._schedule(flow.name, flow.schedules(suspend=True))

    async def _let_go(self) -> None:
        """Let runs begin that are queued: a schedule that is suspended holds them, none does not.

        What was on record of these schedules is on record nowhere else from then on.
        """
        queued = {run.deployment for run in self.record.runs() if run.phase in QUEUED}
        for deployment in self.record.deployments():
            name = deployment["metadata"]["name"]
            if name in queued:
                self.schedules[name] = deployment["status"]["schedules"]
                await self._schedule(name, [])

    async def _schedule(self, name: str, schedules: list[Object]) -> None:
        path = FLOW_DEPLOYMENTS.path(self.namespace, name)
        await self.api.send("PATCH", path, {"spec": {"schedules": schedules}})

    def _missing(self, until: int) -> list[str]:
        """Return the ticks up to a moment that should have a run and have none."""
        made = {(run.deployment, run.schedule, run.tick) for run in self.record.runs() if run.acted}
        created = {
            found["metadata"]["name"]: unix(found["metadata"]["creationTimestamp"])
            for found in self.record.deployments()
        }
        return [
            f"{flow.name}/{timer.name}@{text_of(tick)}"
            for flow in self.flows
            if flow.name in self.needed
            for timer in flow.timers
            for tick in timer.ticks(created.get(flow.name, until), until - timer.jitter)
            if (flow.name, timer.name, tick) not in made
        ]

    def _unrecorded(self, until: int) -> set[str]:
        """Return the deployments whose status is behind the ticks up to a moment."""
        handled = {
            (found["metadata"]["name"], record["name"]): unix(record["handledUntil"])
            for found in self.record.deployments()
            for record in (found.get("status") or {}).get("schedules") or []
        }
        return {
            flow.name
            for flow in self.flows
            for timer in flow.timers
            if (since := handled.get((flow.name, timer.name))) is None
            or timer.ticks(since, until - timer.jitter)
        }

    def _on_time(self) -> bool:
        """Tell whether somebody acts as fast as if nothing had happened."""
        pulse = [
            run for run in self.record.runs() if run.deployment.startswith(PULSE) and run.acted
        ]
        newest = max((run.tick for run in pulse), default=0)
        late = [run.acted - run.tick > ON_TIME for run in pulse if run.tick > newest - 3]
        return time.time() - newest < ON_TIME + 1 and not any(late)

    def _unsettled(self, but: Collection[str] = ()) -> list[str]:
        """Return what has not come to an end, but for runs in some phases."""
        left_out = {run.name for run in self.record.runs() if run.phase in but}
        found = [
            f"FlowRun {run.name} is {run.phase or 'new'}"
            for run in self.record.runs()
            if not run.ended and run.name not in left_out
        ]
        for deployment in self.record.deployments():
            meta, status = deployment["metadata"], deployment.get("status") or {}
            if status.get("observedGeneration") != meta["generation"]:
                found.append(f"FlowDeployment {meta['name']} was not looked at")
            elif {run["name"] for run in status.get("active") or []} - left_out:
                found.append(f"FlowDeployment {meta['name']} has active runs")
        if not found and time.monotonic() - self.record.changed < _REST_SECONDS:
            found.append("something changed a moment ago")
        return found
