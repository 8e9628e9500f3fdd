"""What all scale benches share: their options, the CRDs, progress lines."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import yaml

from tests.bench.places import REPOSITORY, BenchError
from tests.bench.scale.api import Api
from tests.bench.scale.operators import Build
from tests.bench.scale.plane import Plane


@dataclass(frozen=True)
class Options:
    """How large and how long.

    Attributes:
        build: The operator that is measured.
        quick: Small sizes, to see that everything works; its figures mean nothing.
        rounds: Rounds of the storm, repeats of the failover; None: each bench's own number.
        count: How many deployments, where one number says it; None: each bench's own.
        minutes: How long the soak takes.
        peers: Which of the storm's peers run; none: all.
    """

    build: Build = field(default_factory=Build)
    quick: bool = False
    rounds: int | None = None
    count: int | None = None
    minutes: float | None = None
    peers: tuple[str, ...] = ()

    def size(self, full: int, quick: int) -> int:
        """How many of something."""
        return self.count or (quick if self.quick else full)


@contextlib.asynccontextmanager
async def control_plane() -> AsyncIterator[tuple[Plane, Api]]:
    """An empty control plane that knows our kinds."""
    say("a control plane of etcd and API server")
    with Plane() as plane:
        async with Api(plane) as api:
            for file in sorted((REPOSITORY / "crds").glob("*.yaml")):
                for document in yaml.safe_load_all(file.read_text()):
                    if document:
                        await api.create(document)
            await _served(api)
            yield plane, api


async def until(done: Callable[[], bool], what: str, patience: float = 60.0) -> None:
    """Wait for something that other tasks bring about.

    Raises:
        BenchError: It did not come.
    """
    deadline = time.time() + patience
    while not done():
        if time.time() > deadline:
            raise BenchError(f"waited {patience:.0f} s for {what}")
        await asyncio.sleep(0.05)


def say(text: str) -> None:
    """Print a line of progress."""
    print(f"bench: {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


async def _served(api: Api) -> None:
    for _ in range(100):
        with contextlib.suppress(BenchError):
            await api.list("FlowDeployment", limit="1")
            await api.list("FlowRun", limit="1")
            return
        await asyncio.sleep(0.1)
    raise BenchError("the API server does not serve our kinds")
