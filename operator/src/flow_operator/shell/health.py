"""Answers the kubelet: /healthz (would a restart help?) and /readyz (is everything watched?)."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from flow_operator.shell.cluster import Cluster
from flow_operator.shell.errors import ClusterError
from flow_operator.shell.liveness import Liveness

STUCK_SECONDS = 300.0
"""After how long a key that is still being worked on counts as stuck: each request ends in 30 s."""

ELECTION_STUCK_SECONDS = 60.0
"""After how long without a turn the election counts as stuck: each is over in seconds."""

_PROBE_SECONDS = 3.0


@dataclass(slots=True)
class Health:
    """What the process knows of its own state.

    Attributes:
        cluster: Asked whether the API server answers, when a watch does not.
        liveness: Signs of life of the watches.
        longest_run: Tells for how long the slowest key has been worked on, and which it is.
        waiting_for: What is missing before watching can begin.
        election_silence: Tells for how many seconds the election has not taken a turn.
    """

    cluster: Cluster
    liveness: Liveness
    longest_run: Callable[[], tuple[float, Any]]
    waiting_for: list[str] = field(default_factory=lambda: ["the API server has not been asked"])
    election_silence: Callable[[], float] = lambda: 0.0

    async def alive(self) -> list[str]:
        """Return why a restart would help; nothing while it would not."""
        seconds, key = self.longest_run()
        if seconds > STUCK_SECONDS:
            return [f"{key} has been worked on for {seconds:.0f} s"]
        seconds = self.election_silence()
        if seconds > ELECTION_STUCK_SECONDS:
            return [f"the election has not taken a turn for {seconds:.0f} s"]
        silent = [] if self.waiting_for else self.liveness.silent()
        if silent and await self._server_answers():
            return [f"the API server answers, but this watch is silent: {path}" for path in silent]
        return []

    def ready(self) -> list[str]:
        """Return why the operator does not notice everything yet; nothing when it does."""
        if self.waiting_for:
            return self.waiting_for
        return [
            *(f"not listed yet: {path}" for path in self.liveness.unopened()),
            *(f"silent: {path}" for path in self.liveness.silent()),
        ]

    async def _server_answers(self) -> bool:
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                await self.cluster.read("/version")
        except (ClusterError, TimeoutError):
            return False
        return True


async def serve_health(health: Health, port: int) -> web.AppRunner:
    """Serve on all addresses; `cleanup` of what is returned ends it."""

    async def healthz(_: web.Request) -> web.Response:
        return _answer(await health.alive())

    async def readyz(_: web.Request) -> web.Response:
        return _answer(health.ready())

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, None, port).start()
    return runner


def _answer(problems: list[str]) -> web.Response:
    text = "\n".join(problems) or "ok"
    return web.Response(text=text + "\n", status=503 if problems else 200)
