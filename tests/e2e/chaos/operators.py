"""Operators as processes of their own behind proxies: killed, frozen, and started again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from flow_operator.shell.cluster import WATCHED
from flow_operator.shell.connection import Connection
from tests.e2e.chaos.meddler import Meddler
from tests.e2e.proxy import kubeconfig_for

PATIENCE = 90.0
LEASE = "chaos"

_RENEWED_SECONDS = 5.0


@dataclass
class Operator:
    """One replica.

    Args:
        connection: The API server.
        namespace: Which to serve.
        folder: For its kubeconfig and its log.
        number: Which replica it is.
        seed: What the details of faults are drawn from.
        command: What Python is to run.
        slow: How many seconds a slow request takes, from and to.
        lag: How many seconds watches say nothing after a write whose answer is lost.
        settings: The administrator's settings, as YAML or JSON.
    """

    connection: Connection
    namespace: str
    folder: Path
    number: int
    seed: int
    command: tuple[str, ...] = ("-m", "flow_operator")
    slow: tuple[float, float] = (0.3, 2.5)
    lag: float = 0.0
    settings: str = "{}"
    wanted: bool = True
    frozen: bool = False
    ended_by_itself: list[str] = field(default_factory=list)
    _killed: bool = False

    async def __aenter__(self) -> Operator:
        self.proxy = Meddler(
            self.connection, seed=self.seed + self.number, slow=self.slow, lag=self.lag
        )
        await self.proxy.start()
        self._kubeconfig = self.folder / f"{self.namespace}-{self.number}.kubeconfig"
        self._kubeconfig.write_text(json.dumps(kubeconfig_for(self.proxy.address)))
        self._settings = self.folder / f"{self.namespace}-{self.number}.settings.yaml"
        self._settings.write_text(self.settings)
        self.log = self.folder / f"{self.namespace}-{self.number}.log"
        await self._start()
        self._keeper = asyncio.create_task(self._keep())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._keeper.cancel()
        self._signal(signal.SIGKILL)
        await self._process.wait()
        await self.proxy.close()

    async def _start(self) -> None:
        self._killed = self.frozen = False
        environment = {
            **os.environ,
            "KUBECONFIG": str(self._kubeconfig),
            "FLOW_OPERATOR_SETTINGS": str(self._settings),
            "FLOW_OPERATOR_PORT": "0",
            "FLOW_OPERATOR_LEASE": LEASE,
            "FLOW_OPERATOR_LEASE_NAMESPACE": self.namespace,
            "HOSTNAME": f"operator-{self.number}",
        }
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, *self.command, "--namespace", self.namespace,
                env=environment, stdout=log, stderr=log,
            )  # fmt: skip

    async def _keep(self) -> None:
        """Start it again whenever it ends, as a Deployment would."""
        while True:
            code = await self._process.wait()
            if not self._killed:
                self.ended_by_itself.append(f"operator {self.number} ended: exit code {code}")
                await asyncio.sleep(1.0)
            while not self.wanted:
                await asyncio.sleep(0.05)
            await self._start()

    @property
    def alive(self) -> bool:
        """Whether it runs: neither dead nor frozen."""
        return self._process.returncode is None and not self._killed and not self.frozen

    async def watches(self) -> None:
        """Wait until all that it watches is open."""
        watched = {resource.path(self.namespace) for resource in WATCHED}
        end = time.monotonic() + PATIENCE
        while not self.proxy.watches >= watched:
            assert time.monotonic() < end, f"operator {self.number} does not watch: {self.log}"
            await asyncio.sleep(0.05)

    async def kill(self, seconds: float) -> None:
        """Kill it, and have it started again after a while."""
        self.wanted, self._killed = False, True
        self._signal(signal.SIGKILL)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.wanted = True

    async def freeze(self, seconds: float) -> None:
        """Stop it in the middle of whatever it does, and wake it up after a while."""
        process = self._process
        self.frozen = True
        self._signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            if process is self._process:
                self._signal(signal.SIGCONT)
                self.frozen = False

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)


async def leader(operators: list[Operator]) -> Operator:
    """Return the operator that leads: of those that run, the one that last renewed the Lease."""
    while True:
        alive = [operator for operator in operators if operator.alive]
        newest = max(alive, key=lambda operator: operator.proxy.renewed, default=None)
        if newest and time.monotonic() - newest.proxy.renewed < _RENEWED_SECONDS:
            return newest
        await asyncio.sleep(0.1)
