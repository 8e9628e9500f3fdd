"""Lets a storm happen: deployments tick while faults strike, then all comes to rest."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field

from flow_operator.shell.cluster import FLOW_DEPLOYMENTS
from tests.e2e.chaos.aftermath import Aftermath, Window
from tests.e2e.chaos.faults import COMPONENTS, REQUESTS, Fault, Kind
from tests.e2e.chaos.lab import Lab, Patience, stop
from tests.e2e.chaos.meddler import Only, any_request
from tests.e2e.chaos.operators import Operator, leader
from tests.e2e.chaos.record import KINDS, Record, keep
from tests.e2e.chaos.settling import Settling
from tests.e2e.chaos.workload import Flow

PATIENCE = 240.0
"""How long, in seconds, a slow machine may need for the next of what must happen."""

_PROGRAMS = {Kind.API_SERVER: "kube-apiserver", Kind.ETCD: "etcd"}


@dataclass
class Storm:
    """One storm.

    Args:
        lab: Where.
        namespace: Of its own.
        flows: The deployments.
        faults: What happens, in order; times count from when the deployments are there.
        needed: The deployments all of whose ticks must get their run once the faults have ended.
        operators: How many replicas.
        seed: What the details are drawn from.
        seconds: How long to go on at least, whatever strikes.
        linger: How many seconds to go on at least once each kind of fault has struck.
        command: What Python is to run as operator.
        slow: How many seconds a slow request takes, from and to.
        lag: How many seconds watches say nothing after a write whose answer is lost.
        settings: The administrator's, as YAML or JSON.
        only: Which requests to meddle with.
        calm_seconds: How long to look on once all is well.
        patience: How many seconds to wait for the next of what must happen after the faults.
    """

    lab: Lab
    namespace: str
    flows: Sequence[Flow]
    faults: Sequence[Fault] = ()
    needed: Collection[str] = ()
    operators: int = 2
    seed: int = 0
    seconds: float = 0.0
    linger: float = 0.0
    command: tuple[str, ...] = ("-m", "flow_operator")
    slow: tuple[float, float] = (0.3, 2.5)
    lag: float = 0.0
    settings: str = "{}"
    only: Only = any_request
    calm_seconds: float = 10.0
    patience: float = PATIENCE
    _record: Record = field(default_factory=Record)
    _struck: Counter[Kind] = field(default_factory=Counter)
    _windows: list[Window] = field(default_factory=list)
    _begin: float = 0.0

    async def run(self) -> Aftermath:
        """Let it happen; return what has come of it."""
        api, dice = self.lab.api, random.Random(self.seed)
        self._component = asyncio.Lock()
        for flow in self.flows:
            self.lab.flows[self.namespace, flow.name] = flow
        async with self._namespace() as keepers, contextlib.AsyncExitStack() as stack:
            self._patience = Patience(PATIENCE, [*self.lab.tasks, *keepers])
            self._replicas = [
                await stack.enter_async_context(
                    Operator(
                        self.lab.connection, self.namespace, self.lab.folder, number,
                        dice.randrange(1 << 30), self.command, self.slow, self.lag,
                        self.settings,
                    )
                )
                for number in range(self.operators)
            ]  # fmt: skip
            for operator in self._replicas:
                await operator.watches()
            for flow in dice.sample(self.flows, len(self.flows)):
                path = FLOW_DEPLOYMENTS.path(self.namespace)
                await api.send("POST", path, flow.manifest(self.namespace))
            await self._blow()
            self._patience.seconds = self.patience
            settling = Settling(
                api, self.namespace, self.flows, self.needed, self._record, self._patience,
                self._say,
            )  # fmt: skip
            times = await settling.wait(self.calm_seconds)
            created: dict[tuple[str, str], set[str]] = {}
            for operator in self._replicas:
                for key, uids in operator.proxy.created.items():
                    created.setdefault(key, set()).update(uids)
            after = Aftermath(
                record=self._record,
                times=times,
                struck=self._strikes(),
                windows=self._windows,
                hits=[hit for operator in self._replicas for hit in operator.proxy.hits],
                created=created,
                prompt=frozenset(
                    (flow.name, timer.name)
                    for flow in self.flows
                    for timer in flow.timers
                    if flow.name in self.needed and not timer.jitter
                ),
                problems=[
                    *self._patience.problems,
                    *(end for operator in self._replicas for end in operator.ended_by_itself),
                ],
            )
            await after.look_around(api, self.namespace, settling.schedules)
            return after

    @contextlib.asynccontextmanager
    async def _namespace(self) -> AsyncIterator[list[asyncio.Task[None]]]:
        """Make the namespace and keep the record of it; it is deleted afterwards."""
        api, meta = self.lab.api, {"name": self.namespace}
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}
        await api.send("POST", "/api/v1/namespaces", body)
        keepers = [
            asyncio.create_task(keep(self._record, api, kind, self.namespace)) for kind in KINDS
        ]
        try:
            yield keepers
        finally:
            await stop(keepers)
            await api.send("DELETE", f"/api/v1/namespaces/{self.namespace}")

    async def _blow(self) -> None:
        """Let the faults strike, each in its time, until all are over."""
        async with asyncio.TaskGroup() as group:
            begin = self._begin = time.monotonic()
            for fault in self.faults:
                await asyncio.sleep(max(begin + fault.at - time.monotonic(), 0.0))
                self._say(str(fault.kind))
                group.create_task(self._strike(fault))
            await asyncio.sleep(max(begin + self.seconds - time.monotonic(), 0.0))
        wanted = {fault.kind for fault in self.faults} & REQUESTS
        await self._patience.wait(
            lambda: len(wanted - self._strikes().keys()), "each kind of fault to strike"
        )
        await asyncio.sleep(self.linger)
        for operator in self._replicas:
            operator.proxy.disarm()
        self._say("no more faults")

    async def _strike(self, fault: Fault) -> None:
        chosen = self._replicas[fault.operator % len(self._replicas)]
        try:
            async with asyncio.timeout(PATIENCE):
                if fault.kind in REQUESTS:
                    await self._meddle(fault, chosen)
                elif fault.kind is Kind.DROP:
                    while not chosen.proxy.cut():
                        await asyncio.sleep(0.1)
                elif fault.kind is Kind.SILENCE:
                    while not chosen.proxy.silence():
                        await asyncio.sleep(0.1)
                else:
                    await self._take_away(fault, chosen)
        except TimeoutError:
            self._patience.problems.append(f"this could not be brought about: {fault}")

    async def _meddle(self, fault: Fault, chosen: Operator) -> None:
        seconds = fault.seconds if fault.kind is Kind.SLOW else float("inf")
        for operator in self._replicas:
            operator.proxy.arm(fault.kind, count=fault.count, seconds=seconds, only=self.only)
        if fault.kind is Kind.GONE:
            chosen.proxy.cut()
        elif fault.kind is Kind.SLOW:
            await asyncio.sleep(seconds)

    async def _take_away(self, fault: Fault, chosen: Operator) -> None:
        start = time.time()
        match fault.kind:
            case Kind.KILL:
                while not chosen.alive:
                    await asyncio.sleep(0.1)
                await chosen.kill(fault.seconds)
            case Kind.KILL_LEADER:
                await (await leader(self._replicas)).kill(fault.seconds)
            case Kind.FREEZE:
                await (await leader(self._replicas)).freeze(fault.seconds)
            case _:
                assert fault.kind in COMPONENTS
                await self._restart(_PROGRAMS[fault.kind], fault.seconds)
        self._struck[fault.kind] += 1
        self._windows.append(Window(start, time.time()))

    async def _restart(self, program: str, seconds: float) -> None:
        async with self._component:
            await asyncio.to_thread(self.lab.cluster.stop, program, 0)
            try:
                await asyncio.sleep(seconds)
            finally:
                await asyncio.to_thread(self.lab.cluster.start, program)

    def _strikes(self) -> Counter[Kind]:
        return sum((operator.proxy.struck for operator in self._replicas), self._struck.copy())

    def _say(self, what: str) -> None:
        print(f"{self.namespace} {time.monotonic() - self._begin:6.1f} s  {what}", flush=True)
