"""The operator as a process: started, asked whether it is ready, stopped or killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from tests.bench.places import REPOSITORY, BenchError
from tests.bench.scale import usage
from tests.bench.scale.plane import Plane

OPERATOR = REPOSITORY / "operator"
"""The distribution of this work tree."""

_READY_SECONDS = 300.0
_LOOK_SECONDS = 0.2
"""How often to ask; each answer costs the operator a millisecond or two of its start."""
_WARNING = re.compile(r"\b(WARNING|ERROR|CRITICAL|Traceback)\b")


@dataclass(frozen=True)
class Build:
    """Which operator is measured, and how it is started.

    Attributes:
        distribution: The folder that has `src/flow_operator`.
        environment: Variables of the operator beside those that the bench sets.
        profile: A folder for profiles; None: nothing slows the operator down.
    """

    distribution: Path = OPERATOR
    environment: Mapping[str, str] = field(default_factory=dict)
    profile: Path | None = None


class Operator:
    """One process of the operator.

    Attributes:
        name: What it calls itself.
        started: When it was, as `time.time()`.
    """

    def __init__(
        self,
        plane: Plane,
        build: Build,
        *,
        name: str = "operator",
        environment: Mapping[str, str] | None = None,
        arguments: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.started = 0.0
        self._arguments = arguments or ("-m", "flow_operator")
        if build.profile and not arguments:
            self._arguments = ("-m", "tests.bench.scale.inside", "profile", str(build.profile))
        self._port = _free_port()
        self.log = plane.logs / f"{name}-{secrets.token_hex(3)}.log"
        self._environment = {
            **{key: os.environ[key] for key in ("PATH", "LANG", "TZ") if key in os.environ},
            "HOME": str(plane.kubeconfig.parent),
            "HOSTNAME": name,
            "POD_NAME": name,
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": os.pathsep.join([str(build.distribution / "src"), str(REPOSITORY)]),
            "KUBECONFIG": str(plane.kubeconfig),
            "FLOW_OPERATOR_PORT": str(self._port),
            **build.environment,
            **(environment or {}),
        }

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    async def start(self) -> None:
        """Start the process, and do not wait for anything."""
        with self.log.open("ab") as sink:
            self.started = time.time()
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *self._arguments,
                env=self._environment,
                cwd="/",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
            )

    async def ready(self, patience: float = _READY_SECONDS) -> float:
        """Wait for /readyz; how many seconds after the start it said yes.

        Raises:
            BenchError: It ended, or it does not become ready.
        """
        async with aiohttp.ClientSession() as session:
            while time.time() - self.started < patience:
                if self._process.returncode is not None:
                    code = self._process.returncode
                    raise BenchError(f"the operator ended with {code}:\n{self.tail()}")
                if await self._says(session, "/readyz"):
                    return time.time() - self.started
                await asyncio.sleep(_LOOK_SECONDS)
        raise BenchError(f"the operator is not ready after {patience:.0f} s:\n{self.tail()}")

    async def healthy(self) -> bool:
        """Whether it is alive and ready now."""
        async with aiohttp.ClientSession() as session:
            return await self._says(session, "/healthz") and await self._says(session, "/readyz")

    def kill(self) -> None:
        """End it at once, as a node that fails does."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)

    async def stop(self) -> None:
        """End it as the kubelet does."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self._process.wait(), 30)
            except TimeoutError:
                self.kill()
        await self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def memory(self) -> usage.Memory:
        """What it has in memory now."""
        return usage.memory(self.pid)

    def complaints(self) -> Counter[str]:
        """Its warnings and errors, without numbers and names, and how many there are of each."""
        lines = self.log.read_text(errors="replace").splitlines()
        return Counter(_anonymous(line) for line in lines if _WARNING.search(line))

    def tail(self) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])

    async def _says(self, session: aiohttp.ClientSession, path: str) -> bool:
        timeout = aiohttp.ClientTimeout(total=5)
        try:
            url = f"http://127.0.0.1:{self._port}{path}"
            async with session.get(url, timeout=timeout) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False


@contextlib.asynccontextmanager
async def running(operator: Operator) -> AsyncIterator[Operator]:
    """The operator, ready, until the `with` ends."""
    await operator.start()
    try:
        await operator.ready()
        yield operator
    finally:
        await operator.stop()


def _anonymous(line: str) -> str:
    words = re.sub(r"[0-9a-f]{8,}|\d+", "#", line).split()
    return " ".join(word for word in words if "/" not in word)[:160]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
