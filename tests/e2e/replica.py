"""Replicas of the operator as processes of their own, each behind a proxy that sees and strikes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from aiohttp import web

from flow_operator.shell.cluster import FLOW_DEPLOYMENTS, FLOW_RUNS, JOBS, LEASES, WATCHED
from tests.e2e.conftest import OPERATOR_NAMESPACE, RELEASE
from tests.e2e.lane import Lab
from tests.e2e.proxy import (
    QUESTIONS,
    WRITES,
    Forwarder,
    Write,
    answer,
    is_watch,
    kubeconfig_for,
)

PATIENCE = 60.0
ELECTION = "/apis/coordination.k8s.io/"
"""Written by whoever stands for election, whether it leads or not."""

Object = dict[str, Any]


@dataclass
class Tap(Forwarder):
    """Takes note of what an operator writes, and strikes after one of its requests.

    Attributes:
        writes: What it wrote, but for the Lease.
        looks: How many times it has read the Lease.
        struck: Set when the strike has happened.
    """

    writes: list[Write] = field(default_factory=list)
    looks: int = 0
    struck: asyncio.Event = field(default_factory=asyncio.Event)
    _strike: Callable[[], None] = lambda: None
    _left: int = 0

    def arm(self, number: int, strike: Callable[[], None]) -> None:
        """Strike when that many more requests, but for the Lease, were answered by the API server;
        the answer to the last one waits for the operator to go on."""
        self.struck.clear()
        self._left, self._strike = number, strike

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path, body = request.rel_url.path, await request.read()
        is_last = False
        if path.startswith(ELECTION):
            self.looks += request.method == "GET"
        elif not is_watch(request):
            self._left -= 1
            is_last = self._left == 0
            if request.method in WRITES and not path.startswith(QUESTIONS):
                self.writes.append(Write(request.method, path))
        async with self.forward(request, body) as upstream:
            if is_watch(request):
                return await self.stream(request, upstream)
            content = await upstream.read()
        if is_last:
            self._strike()
            self.struck.set()
        return answer(upstream, content)


@dataclass
class Replica:
    """One operator of several.

    Args:
        lab: The API server.
        namespace: Which to serve.
        name: Of the replica; its identity begins with it.
        seconds: How long the Lease is.
        command: What Python is to run.
    """

    lab: Lab
    namespace: str
    name: str
    seconds: int = 8
    command: tuple[str, ...] = ("-m", "flow_operator")

    async def __aenter__(self) -> Replica:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)  # the next test need not wait for the Lease to run out
        try:
            async with asyncio.timeout(5.0):
                await self.process.wait()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            await self.process.wait()
        await self.tap.close()

    async def start(self) -> None:
        """Start it, and wait until it is warm."""
        self.tap = Tap(self.lab.connection, self.lab.impersonate)
        await self.tap.start()
        kubeconfig = self.lab.folder / f"{self.namespace}-{self.name}.kubeconfig"
        kubeconfig.write_text(json.dumps(kubeconfig_for(self.tap.address)))
        self.log = self.lab.folder / f"{self.namespace}-{self.name}.log"
        environment = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig),
            "FLOW_OPERATOR_PORT": "0",
            "FLOW_OPERATOR_LEASE": RELEASE,
            "FLOW_OPERATOR_LEASE_NAMESPACE": OPERATOR_NAMESPACE,
            "FLOW_OPERATOR_LEASE_SECONDS": str(self.seconds),
            "HOSTNAME": self.name,
        }
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, *self.command, "--namespace", self.namespace,
                env=environment, stdout=log, stderr=log,
            )  # fmt: skip
        watched = {resource.path(self.namespace) for resource in WATCHED}
        await until(lambda: self.tap.watches >= watched, f"replica {self.name} to watch")

    async def start_again(self) -> None:
        """Start it again after it ended."""
        await self.process.wait()
        await self.tap.close()
        await self.start()

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    async def holds_the_lease(self) -> bool:
        lease = await self.lab.cluster.find(LEASES, OPERATOR_NAMESPACE, RELEASE)
        holder = str((lease or {}).get("spec", {}).get("holderIdentity") or "")
        return holder.startswith(f"{self.name}_")

    async def takes_over(self) -> float:
        """Wait until it holds the Lease; return how many seconds that took."""
        begun = time.monotonic()
        async with asyncio.timeout(PATIENCE):
            while not await self.holds_the_lease():
                await asyncio.sleep(0.02)
        return time.monotonic() - begun

    async def writes(self, more: int) -> None:
        """Wait until it has written something more, but for the Lease."""
        wanted = len(self.tap.writes) + more
        await until(lambda: len(self.tap.writes) >= wanted, f"replica {self.name} to write")


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that needs no request to be seen."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"waited {PATIENCE} s for {what}") from None


@dataclass
class Clockwork:
    """A deployment that ticks fast, and whose Pods no node has room for."""

    lab: Lab
    namespace: str
    every: int = 1
    name: str = "ticks"

    async def __aenter__(self) -> Clockwork:
        meta = {"name": self.namespace}
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}
        await self.lab.cluster._send("POST", "/api/v1/namespaces", body)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.lab.cluster._send("DELETE", f"/api/v1/namespaces/{self.namespace}")

    async def wind_up(self) -> None:
        """Create it."""
        spec = {
            "source": {"git": {"url": "https://git.example/acme/flows.git"}},
            "entrypoint": "flow.py:main",
            "resources": {"requests": {"cpu": "4096"}},
            "schedules": [{"name": "fast", "interval": {"every": f"{self.every}s"}}],
            "catchUp": "all",
        }
        found = await self.lab.cluster.create(
            FLOW_DEPLOYMENTS,
            {
                "apiVersion": FLOW_DEPLOYMENTS.api_version,
                "kind": FLOW_DEPLOYMENTS.kind,
                "metadata": {"name": self.name, "namespace": self.namespace},
                "spec": spec,
            },
        )
        self._uid = found["metadata"]["uid"]
        self._created = datetime.fromisoformat(found["metadata"]["creationTimestamp"])

    async def runs(self) -> dict[datetime, list[Object]]:
        """Return the FlowRuns by tick."""
        found: dict[datetime, list[Object]] = {}
        for run in await self.lab.cluster.list(FLOW_RUNS, self.namespace):
            tick = datetime.fromisoformat(run["spec"]["trigger"]["scheduledTime"])
            found.setdefault(tick, []).append(run)
        return found

    async def problems(self) -> list[str]:
        """Let everything that is due come about; return what is not as it must be: a FlowRun for
        every tick, and a Job for every FlowRun."""
        suspended = datetime.now(UTC)
        await self.lab.cluster.patch(
            FLOW_DEPLOYMENTS, self.namespace, self.name, self._uid, {"spec": {"suspend": True}}
        )
        end = time.monotonic() + PATIENCE
        while (found := await self._problems(suspended)) and time.monotonic() < end:
            await asyncio.sleep(0.5)
        return found

    async def _problems(self, suspended: datetime) -> list[str]:
        runs = await self.runs()
        jobs = await self.lab.cluster.list(JOBS, self.namespace)
        step, ticks = timedelta(seconds=self.every), sorted(runs)
        found = [f"{len(runs[tick])} FlowRuns at {tick}" for tick in ticks if len(runs[tick]) > 1]
        found += [
            f"none between {tick} and {later}"
            for tick, later in pairwise([self._created, *ticks, suspended])
            if later - tick > step + timedelta(seconds=1) * (later is suspended)
        ]
        owners = [owner(job) for job in jobs]
        uids = {run["metadata"]["uid"] for same in runs.values() for run in same}
        found += [f"{owners.count(uid)} Jobs of {uid}" for uid in uids if owners.count(uid) != 1]
        return found + [f"a Job of {uid}, which is not there" for uid in set(owners) - uids]


def owner(manifest: Object) -> str:
    """Return the UID of what controls an object."""
    owners = manifest["metadata"].get("ownerReferences") or []
    return next(str(one["uid"]) for one in owners if one.get("controller"))
