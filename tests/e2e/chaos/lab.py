"""What storms share: a cluster, the way to it, a node for their Pods, and patience."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from flow_operator.shell.connection import Connection
from tests.cluster import Cluster
from tests.e2e.chaos.api import Api
from tests.e2e.chaos.kubelet import Errand, Kubelet, Life
from tests.e2e.chaos.workload import Flow

_LOOK_SECONDS = 0.25


@dataclass
class Lab:
    """Where storms happen.

    Attributes:
        folder: For logs.
        stamp: Part of the names of what is made on the cluster.
        flows: The deployments, by namespace and name.
        tasks: What goes on in the background.
    """

    cluster: Cluster
    connection: Connection
    api: Api
    folder: Path
    stamp: str = field(default_factory=lambda: secrets.token_hex(3))
    flows: dict[tuple[str, str], Flow] = field(default_factory=dict)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def plan(self, errand: Errand) -> Life:
        """Say how a Pod lives."""
        flow = self.flows[errand.namespace, errand.deployment]
        return Life(flow.seconds, flow.ends_well(errand.tick, errand.attempt))


@contextlib.asynccontextmanager
async def laboratory(cluster: Cluster, folder: Path) -> AsyncIterator[Lab]:
    """Make a lab on a cluster, whose node goes with it."""
    connection = await Connection.load(str(cluster.kubeconfig), cluster.context)
    api = Api(connection)
    lab = Lab(cluster, connection, api, folder)
    kubelet = Kubelet(api, f"chaos-{lab.stamp}", lab.plan)
    lab.tasks.append(asyncio.create_task(kubelet.run()))
    try:
        yield lab
    finally:
        await stop(lab.tasks)
        await kubelet.remove()
        await api.close()
        connection.close()


async def stop(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait for their end; their errors have been seen, or do not matter."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@dataclass
class Patience:
    """Waits for what must happen, and takes note of what does not.

    A machine that others use, too, may need any time for all of it; but it gets on.

    Attributes:
        seconds: How long to wait for the next step.
        tasks: What goes on in the background; should one of them end, its error is raised.
        problems: What did not happen.
    """

    seconds: float
    tasks: list[asyncio.Task[None]]
    problems: list[str] = field(default_factory=list)

    async def wait(
        self,
        left: Callable[[], int | Awaitable[int]],
        what: str,
        explain: Callable[[], str] = lambda: "",
    ) -> None:
        """Wait until nothing is left to happen; give up when it was never less for too long."""
        least, since = sys.maxsize, time.monotonic()
        while time.monotonic() - since < self.seconds:
            for task in self.tasks:
                if task.done():
                    task.result()
            answer = left()
            number = answer if isinstance(answer, int) else await answer
            if number == 0:
                return
            if number < least:
                least, since = number, time.monotonic()
            await asyncio.sleep(_LOOK_SECONDS)
        self.problems.append(f"waited {self.seconds:.0f} s for {what}: {explain()}")
