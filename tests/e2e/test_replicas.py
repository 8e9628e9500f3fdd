"""Two replicas: one works, the other takes over in seconds, and no tick is lost or doubled.

The replicas are processes here, with the rights of the chart's ServiceAccount and its Lease; the
API server and the Job controller are real.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from flow_operator.shell.cluster import Cluster
from flow_operator.shell.connection import Connection
from tests.cluster import Cluster as RealCluster
from tests.e2e.conftest import OPERATOR_NAMESPACE, RELEASE
from tests.e2e.lane import Lab
from tests.e2e.replica import Clockwork, Replica, until

PAUSES = 8
SHORT = 4
"""Seconds of a Lease that is waited for often."""

NO_GATE = """
import runpy
from flow_operator.shell.cluster import Cluster
init = Cluster.__init__
Cluster.__init__ = lambda self, connection, may_write=None: init(self, connection)
runpy.run_module('flow_operator', run_name='__main__', alter_sys=True)
"""


@pytest.fixture
async def lab(exclusive: RealCluster, tmp_path: Path) -> AsyncIterator[Lab]:
    """The API server as the operator's ServiceAccount may use it."""
    connection = await Connection.load(str(exclusive.kubeconfig), exclusive.context)
    account = f"system:serviceaccount:{OPERATOR_NAMESPACE}:{RELEASE}"
    cluster = Cluster(connection)
    yield Lab(connection, cluster, tmp_path, account)
    await cluster.close()
    connection.close()


async def test_a_killed_leader_is_replaced_within_seconds(lab: Lab) -> None:
    """Until then one replica writes and the other does not; afterwards no tick is missing."""
    namespace = f"replicas-{lab.stamp}-kill"
    async with (
        Clockwork(lab, namespace) as clockwork,
        Replica(lab, namespace, "a") as first,
        Replica(lab, namespace, "b") as second,
    ):
        await clockwork.wind_up()
        await first.takes_over()
        await first.writes(30)
        assert second.tap.writes == []
        first.signal(signal.SIGKILL)
        killed = time.monotonic()
        await second.writes(1)
        seconds = time.monotonic() - killed
        print(f"\nfrom SIGKILL to the first write of the other replica: {seconds:.1f} s")
        assert seconds < 15.0
        await first.start_again()
        await second.writes(30)
        assert first.tap.writes == []
        assert await clockwork.problems() == []


async def test_a_leader_that_slept_writes_nothing_when_it_wakes_up(lab: Lab) -> None:
    """Stopped after any of its requests, it follows, and leads again when its turn comes."""
    assert await sleep_after_requests(lab) == []


async def test_without_the_gate_it_would_write(lab: Lab) -> None:
    """The test above finds an operator that looks at its leadership before it decides alone."""
    problems = await sleep_after_requests(lab, ("-c", NO_GATE))
    print(f"\n{problems}")
    assert problems
    assert all(problem.startswith("late, after request") for problem in problems)


async def sleep_after_requests(
    lab: Lab, command: tuple[str, ...] = ("-m", "flow_operator")
) -> list[str]:
    """Stop the leader after one request, after two, and so on, and wake it up when the other leads.

    Returns:
        What it wrote then, at the first time that it did; or what is wrong in the end.
    """
    namespace = f"replicas-{lab.stamp}-stop"
    async with AsyncExitStack() as stack:
        clockwork = await stack.enter_async_context(Clockwork(lab, namespace))
        leader, other = [
            await stack.enter_async_context(Replica(lab, namespace, name, SHORT, command))
            for name in ("a", "b")
        ]
        await clockwork.wind_up()
        await leader.takes_over()
        for number in range(1, PAUSES + 1):
            stopped = leader
            stopped.tap.arm(number, lambda: stopped.signal(signal.SIGSTOP))  # noqa: B023
            await until(stopped.tap.struck.is_set, "the leader to be stopped")
            await other.takes_over()
            await other.writes(10)
            before, looks = len(stopped.tap.writes), stopped.tap.looks
            stopped.signal(signal.SIGCONT)
            await until(lambda: stopped.tap.looks > looks + 1, "it to follow")  # noqa: B023
            await asyncio.sleep(0.5)
            if late := stopped.tap.writes[before:]:
                return [f"late, after request {number}: {' '.join(write)}" for write in late]
            leader, other = other, stopped
        return await clockwork.problems()


async def test_a_leader_that_is_told_to_end_hands_over_at_once(lab: Lab) -> None:
    """It ends its work, releases the Lease, and the other one need not wait for it to run out."""
    namespace = f"replicas-{lab.stamp}-term"
    async with (
        Clockwork(lab, namespace) as clockwork,
        Replica(lab, namespace, "a") as first,
        Replica(lab, namespace, "b") as second,
    ):
        await clockwork.wind_up()
        leader, other = first, second
        await leader.takes_over()
        for _ in range(3):
            await leader.writes(10)
            leader.signal(signal.SIGTERM)
            seconds = await other.takes_over()
            print(f"\nfrom SIGTERM to the other replica's Lease: {seconds:.2f} s")
            assert seconds < 4.0
            assert await leader.process.wait() == 0
            await leader.start_again()
            leader, other = other, leader
        assert await clockwork.problems() == []
