"""Puts the parts together and keeps them running until the process is told to stop."""

import asyncio
import contextlib
import logging
import random
import signal
from collections.abc import Coroutine
from typing import Any

from flow_operator.core.rest import FIRST_LOOK_SECONDS
from flow_operator.shell.checks import missing
from flow_operator.shell.clock import follow_clock
from flow_operator.shell.cluster import WATCHED, Cluster
from flow_operator.shell.config import Config
from flow_operator.shell.connection import Connection, installed_version
from flow_operator.shell.errors import ClusterError
from flow_operator.shell.health import Health, serve_health
from flow_operator.shell.keys import Concern, Key
from flow_operator.shell.lease import Leadership
from flow_operator.shell.liveness import Liveness
from flow_operator.shell.observe import utc_now
from flow_operator.shell.queue import LATER, WorkQueue
from flow_operator.shell.reconciler import Reconciler
from flow_operator.shell.room import Room
from flow_operator.shell.store import Store
from flow_operator.shell.sync import load, resync
from flow_operator.shell.watching import WatchingStoppedError, watch

logger = logging.getLogger(__name__)

_GRACE_SECONDS = 1.0
_CHECK_AGAIN_SECONDS = 5.0


async def run_operator(config: Config) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        NoServerError: The environment does not say how to reach an API server.
        OSError: The health port is taken.
    """
    stop = asyncio.Event()
    connection = await Connection.load()
    operator = _Operator(config, connection)
    try:
        main = asyncio.create_task(operator.run())
        stopped = asyncio.create_task(stop.wait())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await asyncio.wait({main, stopped}, return_when=asyncio.FIRST_COMPLETED)
        await operator.rest()
        main.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await main
    finally:
        await operator.close()
        connection.close()


class _Operator:
    def __init__(self, config: Config, connection: Connection) -> None:
        self._config = config
        self._connection = connection
        # Questions and the election itself are not for the leader alone.
        self._ungated = Cluster(connection)
        self._leadership = Leadership(self._ungated, config.lease) if config.lease else None
        self._cluster = Cluster(connection, self._leads)
        self._liveness = Liveness(
            resource.path(scope) for resource in WATCHED for scope in config.scopes
        )
        self._store = Store(self._changed)
        self._room = Room(self._store, config.settings, self._enqueue)
        self._reconciler = Reconciler(
            self._cluster,
            self._store,
            config.settings,
            self._room,
            self._leads,
            postpone=self._postpone,
        )
        self._queue = WorkQueue[Key](
            self._reconciler,
            workers=config.workers,
            expected=(ClusterError,),
        )
        self._loaded = asyncio.Event()
        self._health = Health(self._cluster, self._liveness, self._queue.longest_run)
        if self._leadership:
            self._health.election_silence = self._leadership.silence

    async def run(self) -> None:
        """Serve the probes, wait for what is missing, then watch and work."""
        logger.info("flow-operator %s, API server %s", installed_version(), self._connection.server)
        server = await serve_health(self._health, self._config.port) if self._config.port else None
        try:
            async with asyncio.TaskGroup() as group:
                for part in self._parts():
                    group.create_task(part)
        finally:
            if server:
                await server.cleanup()

    async def close(self) -> None:
        """Close the connections."""
        await self._cluster.close()
        await self._ungated.close()

    async def rest(self) -> None:
        """Come to rest, and let another replica lead at once.

        While something may still be written, the others wait for the Lease to run out.
        """
        await self._queue.close(_GRACE_SECONDS)
        _, busy = self._queue.longest_run()
        if self._leadership and busy is None:
            await self._leadership.release()

    def _parts(self) -> list[Coroutine[Any, Any, None]]:
        parts = [self._work(), self._watch()]
        if self._leadership:
            parts.append(self._leadership.run(self._is_warm, self._take_over))
        return parts

    def _leads(self) -> bool:
        return self._leadership is None or self._leadership.leads()

    def _is_warm(self) -> bool:
        """Tell whether everything is known and watched; who is not so far leaves the lead."""
        return self._loaded.is_set() and not (self._health.waiting_for or self._liveness.unopened())

    def _take_over(self) -> None:
        """Do what the leader before has left undone."""
        self._enqueue(*self._reconciler.take_over())

    async def _work(self) -> None:
        """Decide nothing before everything is known; then work, and check it now and then."""
        await self._loaded.wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._queue.run())
            group.create_task(follow_clock(self._queue.catch_up))
            group.create_task(
                resync(self._cluster, self._config.scopes, self._store, self._enqueue)
            )

    async def _watch(self) -> None:
        """Watch for ever; begin again when the watches end, once nothing is missing."""
        while True:
            await self._wait_for_cluster()
            self._liveness.restart()
            try:
                listed = await self._load()
                await watch(
                    self._connection,
                    self._config.namespaces,
                    self._store,
                    self._liveness,
                    listed,
                )
            except WatchingStoppedError as error:
                logger.error("Watching stopped, and begins again: %s", error)
                self._health.waiting_for = [f"watching stopped: {error}"]
                await asyncio.sleep(1.0)

    async def _load(self) -> dict[str, int]:
        """Fill the store, once in the life of the process; return as of when that is."""
        if self._loaded.is_set():
            return {}
        try:
            loaded = await load(self._cluster, self._config.scopes, self._store)
        except ClusterError as error:
            raise WatchingStoppedError(f"before it began: {error}") from error
        now = utc_now()  # what was far off when it was read need not be by now
        for key, until in loaded.at_rest.items():
            after = random.uniform(0, FIRST_LOOK_SECONDS)  # noqa: S311 - jitter
            self._queue.add(key, max(min(after, (until - now).total_seconds()), 0.0))
        self._loaded.set()
        return loaded.versions

    async def _wait_for_cluster(self) -> None:
        """Return when all that the operator needs is there; say what is not, once."""
        said: list[str] = []
        while True:
            try:
                problems = await missing(self._ungated, self._config.scopes, self._config.lease)
            except ClusterError as error:
                problems = [f"The API server cannot be used: {error}"]
            self._health.waiting_for = problems
            if not problems:
                return
            if problems != said:
                for problem in problems:
                    logger.error("%s", problem)
                said = problems
            await asyncio.sleep(_CHECK_AGAIN_SECONDS)

    def _postpone(self, key: Key) -> bool:
        return self._queue.postpone(key)

    def _changed(self, concern: Concern) -> None:
        self._enqueue(*concern.now)
        for key in concern.later:
            self._queue.add(key, LATER)
        if concern.over:
            self._room.leave(concern.over)

    def _enqueue(self, *keys: Key) -> None:
        for key in keys:
            self._queue.add(key)
