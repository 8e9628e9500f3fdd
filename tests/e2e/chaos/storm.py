"""Lets a storm happen: deployments tick while faults strike, then all comes to rest."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flow_operator.shell.cluster import EVENTS, FLOW_DEPLOYMENTS, FLOW_RUNS, JOBS, PODS
from flow_operator.shell.connection import Connection
from tests.cluster import Cluster
from tests.e2e.chaos.api import Api, Object
from tests.e2e.chaos.faults import COMPONENTS, REQUESTS, Fault, Kind
from tests.e2e.chaos.kubelet import Errand, Kubelet, Life
from tests.e2e.chaos.meddler import Hit, Only, any_request
from tests.e2e.chaos.operators import Operator, leader
from tests.e2e.chaos.record import KINDS, Record, Run, keep
from tests.e2e.chaos.workload import PULSE, Flow, text_of, unix

PATIENCE = 240.0
"""How long, in seconds, what must happen once all is well may take on a slow machine."""

ON_TIME = 2
"""How many seconds after its tick a run may be made, if somebody could act."""

_CALM_COMES = 60.0
_REST_SECONDS = 2.5
_PROGRAMS = {Kind.API_SERVER: "kube-apiserver", Kind.ETCD: "etcd"}


@dataclass
class Lab:
    """What storms share: a cluster, and a node for their Pods."""

    cluster: Cluster
    connection: Connection
    api: Api
    folder: Path
    stamp: str = field(default_factory=lambda: secrets.token_hex(3))
    flows: dict[tuple[str, str], Flow] = field(default_factory=dict)

    def plan(self, errand: Errand) -> Life:
        flow = self.flows[errand.namespace, errand.deployment]
        return Life(flow.seconds, flow.ends_well(errand.tick, errand.attempt))


@contextlib.asynccontextmanager
async def laboratory(cluster: Cluster, folder: Path) -> AsyncIterator[Lab]:
    """A lab on a cluster, whose node goes with it."""
    connection = await Connection.load(str(cluster.kubeconfig), cluster.context)
    api = Api(connection)
    lab = Lab(cluster, connection, api, folder)
    kubelet = Kubelet(api, f"chaos-{lab.stamp}", lab.plan)
    running = asyncio.create_task(kubelet.run())
    try:
        yield lab
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await kubelet.remove()
        await api.close()
        connection.close()


@dataclass(frozen=True)
class Window:
    """When something was wrong, as Unix times, and what."""

    start: float
    end: float
    what: str


@dataclass
class Aftermath:
    """All that is known once a storm is over.

    Attributes:
        record: What was there meanwhile.
        runs, jobs, pods, deployments, events: What is there now.
        struck: How often each kind of fault struck.
        windows: When the cluster or an operator was away.
        hits: Requests that were meddled with.
        created: UIDs of all that the operators created, by kind and name, as their proxies saw it.
        prompt: Deployments and schedules of which every tick had to get its run, without jitter.
        faults_ended: The Unix time since which nothing has been wrong.
        rest: The Unix time up to which every tick counted.
        suspended: The Unix time since which nothing more is to start.
        problems: What did not happen in time, or should not have happened at all.
    """

    record: Record
    struck: Counter[Kind]
    windows: list[Window]
    hits: list[Hit]
    created: dict[tuple[str, str], set[str]]
    prompt: frozenset[tuple[str, str]]
    faults_ended: float
    rest: float
    suspended: float
    problems: list[str]
    runs: list[Run] = field(default_factory=list)
    jobs: list[Object] = field(default_factory=list)
    pods: list[Object] = field(default_factory=list)
    deployments: dict[str, Object] = field(default_factory=dict)
    events: list[Object] = field(default_factory=list)


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
        command: What Python is to run as operator.
        slow: How many seconds a slow request takes, from and to.
        seconds: How long to go on at least, whatever strikes.
        only: Which requests to meddle with.
        calm_seconds: How long to look on once all is well.
        patience: How many seconds to wait for what must happen.
    """

    lab: Lab
    namespace: str
    flows: Sequence[Flow]
    faults: Sequence[Fault] = ()
    needed: Collection[str] = ()
    operators: int = 2
    seed: int = 0
    command: tuple[str, ...] = ("-m", "flow_operator")
    slow: tuple[float, float] = (0.3, 2.5)
    seconds: float = 0.0
    only: Only = any_request
    calm_seconds: float = 10.0
    patience: float = PATIENCE
    record: Record = field(default_factory=Record)
    _struck: Counter[Kind] = field(default_factory=Counter)
    _windows: list[Window] = field(default_factory=list)
    _problems: list[str] = field(default_factory=list)

    async def run(self) -> Aftermath:
        """Let it happen; return what has come of it."""
        api, dice = self.lab.api, random.Random(self.seed)
        self._component = asyncio.Lock()
        self._replicas: list[Operator] = []
        for flow in self.flows:
            self.lab.flows[self.namespace, flow.name] = flow
        meta = {"name": self.namespace}
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}
        await api.send("POST", "/api/v1/namespaces", namespace)
        keepers = [
            asyncio.create_task(keep(self.record, api, kind, self.namespace)) for kind in KINDS
        ]
        try:
            async with contextlib.AsyncExitStack() as stack:
                for number in range(self.operators):
                    operator = Operator(
                        self.lab.connection, self.namespace, self.lab.folder, number,
                        dice.randrange(1 << 30), self.command, self.slow,
                    )  # fmt: skip
                    self._replicas.append(await stack.enter_async_context(operator))
                for operator in self._replicas:
                    await operator.watches()
                for flow in dice.sample(self.flows, len(self.flows)):
                    path = FLOW_DEPLOYMENTS.path(self.namespace)
                    await api.send("POST", path, flow.manifest(self.namespace))
                await self._blow()
                return await self._settle()
        finally:
            for keeper in keepers:
                keeper.cancel()
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
        await self._wait(lambda: wanted <= self._strikes().keys(), "each kind of fault to strike")
        for operator in self._replicas:
            operator.proxy.disarm()
        self._say("no more faults")

    async def _strike(self, fault: Fault) -> None:
        start, kind = time.time(), fault.kind
        chosen = self._replicas[fault.operator % len(self._replicas)]
        if kind in COMPONENTS:
            await self._restart(_PROGRAMS[kind], fault.seconds)
        elif kind is Kind.KILL:
            while not chosen.alive:
                await asyncio.sleep(0.1)
            await chosen.kill(fault.seconds)
        elif kind is Kind.KILL_LEADER:
            await (await leader(self._replicas)).kill(fault.seconds)
        elif kind is Kind.FREEZE:
            await (await leader(self._replicas)).freeze(fault.seconds)
        elif kind is Kind.DROP:
            while not chosen.proxy.cut():
                await asyncio.sleep(0.1)
            return
        elif kind is Kind.SILENCE:
            while not chosen.proxy.silence():
                await asyncio.sleep(0.1)
            return
        else:
            seconds = fault.seconds if kind is Kind.SLOW else float("inf")
            for operator in self._replicas:
                operator.proxy.arm(kind, count=fault.count, seconds=seconds, only=self.only)
            if kind is Kind.GONE:
                chosen.proxy.cut()
            elif kind is Kind.SLOW:
                await asyncio.sleep(seconds)
            return
        self._struck[kind] += 1
        self._windows.append(Window(start, time.time(), str(kind)))

    async def _restart(self, program: str, seconds: float) -> None:
        async with self._component:
            await asyncio.to_thread(self.lab.cluster.stop, program, 0)
            await asyncio.sleep(seconds)
            await asyncio.to_thread(self.lab.cluster.start, program)

    async def _settle(self) -> Aftermath:
        """Wait until nothing is left to do."""
        ended = time.time()
        busy = {flow.name for flow in self.flows if flow.name in self.needed}

        async def caught_up() -> bool:
            """Let those rest that have caught up, so that the others have the machine."""
            behind = {missing.partition("/")[0] for missing in self._missing(int(ended))}
            behind |= busy & self._unrecorded(int(ended))
            for flow in self.flows:
                if flow.name in busy - behind and not flow.name.startswith(PULSE):
                    await self._suspend(flow)
            busy.intersection_update(behind)
            return not behind

        await self._wait(
            caught_up,
            "every tick to get its run",
            lambda: f"none for {self._missing(int(ended))[:20]}",
        )
        self._say("every tick has its run")
        if self.calm_seconds:
            # On a machine that is too slow for it there is no calm, and less to be judged.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CALM_COMES):
                    while not self._on_time():
                        await asyncio.sleep(0.25)
            self._say("calm")
            await asyncio.sleep(self.calm_seconds)
        rest = time.time()
        for flow in self.flows:
            await self._suspend(flow)
        suspended = time.time()
        await self._wait(
            lambda: not self._unsettled(),
            "everything to end",
            lambda: "; ".join(self._unsettled()[:20]),
        )
        self._say("everything has ended")
        return await self._look_around(ended, rest, suspended)

    async def _suspend(self, flow: Flow) -> None:
        path = FLOW_DEPLOYMENTS.path(self.namespace, flow.name)
        change = {"spec": {"schedules": flow.schedules(suspend=True)}}
        await self.lab.api.send("PATCH", path, change)

    def _missing(self, until: int) -> list[str]:
        """Return the ticks up to a moment that should have a run and have none."""
        made = {(run.deployment, run.schedule, run.tick) for run in self.record.runs()}
        created = {
            found["metadata"]["name"]: unix(found["metadata"]["creationTimestamp"])
            for found in self.record.now[FLOW_DEPLOYMENTS.kind].values()
        }
        return [
            f"{flow.name}/{timer.name}@{text_of(tick)}"
            for flow in self.flows
            if flow.name in self.needed
            for timer in flow.timers
            for tick in timer.ticks(created.get(flow.name, 0) or until, until - timer.jitter)
            if (flow.name, timer.name, tick) not in made
        ]

    def _unrecorded(self, until: int) -> set[str]:
        """Return the deployments whose status is behind the ticks up to a moment."""
        timers = {(flow.name, timer.name): timer for flow in self.flows for timer in flow.timers}
        return {
            found["metadata"]["name"]
            for found in self.record.now[FLOW_DEPLOYMENTS.kind].values()
            for record in (found.get("status") or {}).get("schedules") or [{}]
            if not record
            or (timer := timers[found["metadata"]["name"], record["name"]]).ticks(
                unix(record["handledUntil"]), until - timer.jitter
            )
        }

    def _on_time(self) -> bool:
        """Tell whether somebody acts as fast as if nothing had happened."""
        pulse = [run for run in self.record.runs() if run.deployment.startswith(PULSE)]
        newest = max((run.tick for run in pulse), default=0)
        late = [run.created - run.tick > ON_TIME for run in pulse if run.tick > newest - 3]
        return time.time() - newest < ON_TIME + 1 and not any(late)

    def _unsettled(self) -> list[str]:
        found = [
            f"FlowRun {run.name} is {run.phase or 'new'}"
            for run in self.record.runs()
            if not run.ended
        ]
        for deployment in self.record.now[FLOW_DEPLOYMENTS.kind].values():
            meta, status = deployment["metadata"], deployment.get("status") or {}
            if status.get("observedGeneration") != meta["generation"]:
                found.append(f"FlowDeployment {meta['name']} was not looked at")
            elif status.get("active"):
                found.append(f"FlowDeployment {meta['name']} has active runs")
        if not found and time.monotonic() - self.record.changed < _REST_SECONDS:
            found.append("something changed a moment ago")
        return found

    async def _look_around(self, ended: float, rest: float, suspended: float) -> Aftermath:
        api, space = self.lab.api, self.namespace
        created: dict[tuple[str, str], set[str]] = {}
        for operator in self._replicas:
            self._problems += operator.ended_by_itself
            for key, uids in operator.proxy.created.items():
                created.setdefault(key, set()).update(uids)
        there = {
            kind.kind: (await api.get(kind.path(space)))["items"]
            for kind in (FLOW_DEPLOYMENTS, FLOW_RUNS, JOBS, PODS, EVENTS)
        }
        return Aftermath(
            record=self.record,
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
            faults_ended=ended,
            rest=rest,
            suspended=suspended,
            problems=self._problems,
            runs=[Run.of(run) for run in there["FlowRun"]],
            jobs=there["Job"],
            pods=there["Pod"],
            deployments={found["metadata"]["name"]: found for found in there["FlowDeployment"]},
            events=there["Event"],
        )

    def _strikes(self) -> Counter[Kind]:
        return sum((operator.proxy.struck for operator in self._replicas), self._struck.copy())

    def _say(self, what: str) -> None:
        print(f"{self.namespace} {time.monotonic() - self._begin:6.1f} s  {what}", flush=True)

    async def _wait(
        self,
        done: Callable[[], bool | Awaitable[bool]],
        what: str,
        explain: Callable[[], str] = lambda: "",
    ) -> None:
        """Wait for something, and take note if it does not happen in time."""
        try:
            async with asyncio.timeout(self.patience):
                while True:
                    answer = done()
                    if answer if isinstance(answer, bool) else await answer:
                        return
                    await asyncio.sleep(0.25)
        except TimeoutError:
            self._problems.append(f"waited {self.patience:.0f} s for {what}: {explain()}")
