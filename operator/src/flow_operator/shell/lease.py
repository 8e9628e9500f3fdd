"""Keeps, loses and hands over the leadership of this process by a Lease in the cluster.

`kubernetes.aio.leaderelection` was no choice: it goes by the wall clock, cannot tell at an instant
whether it still leads, ends when it has lost once, never releases, and brings a second client.
"""

import asyncio
import logging
import os
import random
import secrets
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime

from flow_operator.core.election import Election, Terms
from flow_operator.shell.cluster import LEASES, Cluster
from flow_operator.shell.config import LeaseConfig
from flow_operator.shell.errors import AlreadyExistsError, ClusterError, ConflictError

logger = logging.getLogger(__name__)

_RELEASE_SECONDS = 2.0
_RELEASE_TRIES = 3


def uptime() -> float:
    """Return the seconds since the machine was started, asleep ones too where that is known."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Leadership:
    """Tells whether this process leads, for which it stands for election while it `run`s.

    Args:
        cluster: Where the Lease is. Its writes must not depend on `leads`.
        config: Which it is.
        identity: Who this process is; by default its host's name and something random.
        clock: A clock that never goes back, in seconds.
    """

    def __init__(
        self,
        cluster: Cluster,
        config: LeaseConfig,
        identity: str = "",
        clock: Callable[[], float] = uptime,
    ) -> None:
        self.identity = identity or _identity()
        self._cluster = cluster
        self._config = config
        self._clock = clock
        self._election = Election(
            config.namespace, config.name, self.identity, Terms(config.seconds)
        )
        self._turned = clock()
        self._led = False
        self._resigned = False
        self._said = ""

    def leads(self) -> bool:
        """Tell whether this process may write: its last renewal was sent not long ago.

        It needs no task to notice that the time is up, so it is right at once when a process that
        was stopped, or that had no CPU, goes on.
        """
        return self._election.leads(self._clock())

    def silence(self) -> float:
        """Return for how many seconds the election has not taken a turn."""
        return self._clock() - self._turned

    async def run(self, fit: Callable[[], bool], gained: Callable[[], None]) -> None:
        """Stand for election until cancelled, or `release`d.

        Args:
            fit: Whether this process would be a good leader; who leads already is not asked.
            gained: Called each time that this process begins to lead.
        """
        terms = self._election.terms
        while not self._resigned:
            self._turned = self._clock()
            self._tell_loss()
            try:
                async with asyncio.timeout(terms.deadline / 2 if self.leads() else terms.deadline):
                    await self.turn(fit, gained)
            except (ConflictError, AlreadyExistsError) as error:
                logger.debug("%s: %s", self._config, error)
            except (ClusterError, TimeoutError) as error:
                why = str(error) or "no answer in time"
                self._say(f"{self._config} is out of reach: {why}", topic="out of reach")
            self._tell_loss()
            pause = self._election.pause(self._clock())
            await asyncio.sleep(pause * random.uniform(0.8, 1.0))  # noqa: S311 - jitter

    async def turn(self, fit: Callable[[], bool], gained: Callable[[], None]) -> None:
        """Look at the Lease if need be, and take or renew it if that is possible.

        Raises:
            ClusterError: That did not work, or it is not known whether it did.
        """
        election, config = self._election, self._config
        if election.must_look(self._clock()):
            election.saw(
                await self._cluster.find(LEASES, config.namespace, config.name), self._clock()
            )
            self._tell_loss()
        if not (self.leads() or fit()):
            return
        sent = self._clock()
        claim = election.claim(sent, _now())
        if claim is None:
            if not election.holds:
                holder = election.holder or "nobody that is known"
                self._say(f"Standing by: {config} is held by {holder}", logging.INFO)
            return
        is_new = "resourceVersion" not in claim["metadata"]
        write = self._cluster.create if is_new else self._cluster.replace
        lease = await write(LEASES, claim)
        lapsed = not self.leads()
        election.won(lease, sent)
        if lapsed and self.leads():
            self._led = True
            self._say(f"Leading: {config} is held by {self.identity}", logging.INFO)
            gained()

    async def release(self) -> None:
        """Lead no longer, and let another process lead at once.

        What this process has begun to write must have ended.
        """
        self._resigned, self._led = True, False
        self._election.resign()
        if not self._election.holds:
            return
        try:
            async with asyncio.timeout(_RELEASE_SECONDS):
                await self._release()
        except (ClusterError, TimeoutError) as error:
            logger.warning("%s was not released: %s", self._config, error or "no answer in time")

    async def _release(self) -> None:
        config = self._config
        for _ in range(_RELEASE_TRIES):
            lease = self._election.release(_now())
            if lease is None:
                return
            try:
                await self._cluster.replace(LEASES, lease)
            except ConflictError:  # a renewal was under way
                found = await self._cluster.find(LEASES, config.namespace, config.name)
                self._election.saw(found, self._clock())
            else:
                logger.info("Leading no longer: %s was released", config)
                return

    def _tell_loss(self) -> None:
        """Say once that this process leads no longer."""
        if self._led and not self.leads():
            self._led = False
            holder = self._election.holder
            why = "could not be renewed" if self._election.holds else f"is held by {holder}"
            self._say(f"Leading no longer: {self._config} {why}")

    def _say(self, words: str, level: int = logging.WARNING, topic: str = "") -> None:
        """Log something, unless it is what was said last, in whatever words."""
        if (topic or words) != self._said:
            self._said = topic or words
            logger.log(level, "%s", words)


def _identity() -> str:
    host = os.environ.get("HOSTNAME") or socket.gethostname()
    return f"{host}_{secrets.token_hex(4)}"


def _now() -> str:
    """Return the time of the day as a MicroTime."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
