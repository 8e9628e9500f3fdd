"""Wherever the operator is killed, a run is made once: one FlowRun, one Job, and it succeeds.

A proxy before the real API server counts the operator's writes of a run. For each of them the
operator, a process of its own, is killed with SIGKILL before the write arrives, and after it was
answered but before the operator knew; then it is started again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from flow_operator.shell.cluster import Cluster
from flow_operator.shell.connection import Connection
from tests.cluster import Cluster as RealCluster
from tests.e2e.conftest import OPERATOR_NAMESPACE, RELEASE
from tests.e2e.lane import Lab, Lane
from tests.e2e.proxy import Fault, Write

LANES = 4


@pytest.fixture
async def lab(exclusive: RealCluster, tmp_path: Path) -> AsyncIterator[Lab]:
    """The API server as the operator's ServiceAccount may use it."""
    connection = await Connection.load(str(exclusive.kubeconfig), exclusive.context)
    account = f"system:serviceaccount:{OPERATOR_NAMESPACE}:{RELEASE}"
    cluster = Cluster(connection)
    yield Lab(connection, cluster, tmp_path, account)
    await cluster.close()
    connection.close()


async def test_every_write_can_be_the_last_one(lab: Lab) -> None:
    """Killed before or after any write, the operator makes a run once and brings it to its end."""
    failures, cases = await kill_at_every_write(lab)
    assert not failures
    assert len(cases) >= 2 * 10


async def kill_at_every_write(lab: Lab) -> tuple[dict[str, list[str]], list[Fault]]:
    """Return what went wrong by fault, and every fault that struck."""
    async with contextlib.AsyncExitStack() as stack:
        lanes = await asyncio.gather(
            *(
                stack.enter_async_context(Lane(lab, f"crash-{lab.stamp}-{number}"))
                for number in range(LANES)
            )
        )
        assert await lanes[0].run("clean", None) == []
        writes = list(lanes[0].proxy.writes)
        print(f"\na clean run: {len(writes)} writes, {lanes[0].proxy.reads} reads")
        print("\n".join(f"  {_short(write)}" for write in writes))

        faults = [Fault(n, when) for n in range(1, len(writes) + 1) for when in ("before", "after")]
        todo, failures, struck = list(reversed(faults)), {}, []

        async def work(lane: Lane) -> None:
            while todo:
                fault = todo.pop()
                proxy = lane.proxy
                problems = await lane.run(f"{fault.when}-{fault.number}", fault)
                if proxy.struck.is_set():
                    struck.append(fault)
                if problems:
                    failures[str(fault)] = problems

        await asyncio.gather(*map(work, lanes))
    missed = [str(fault) for fault in faults if fault not in struck]
    print(f"{len(struck)} of {len(faults)} faults struck; not: {missed}")
    return failures, struck


RANDOM_NAME = """
import runpy, secrets
from flow_operator.core import names
name = names.spec_change_run_name
names.spec_change_run_name = lambda *args: f"{name(*args)}-{secrets.token_hex(3)}"
"""
RECORD_FIRST = """
import runpy
from dataclasses import replace
from flow_operator.core.decision import WriteStatus
from flow_operator.shell import reconciler
decide = reconciler.decide_deployment
def decide_deployment(*args, **options):
    decision = decide(*args, **options)
    first = lambda action: not isinstance(action, WriteStatus)
    return replace(decision, actions=tuple(sorted(decision.actions, key=first)))
reconciler.decide_deployment = decide_deployment
"""
RUN = "runpy.run_module('flow_operator', run_name='__main__', alter_sys=True)\n"


@pytest.mark.parametrize(
    ("bug", "first", "problem"),
    [
        pytest.param(
            RANDOM_NAME, "POST flowruns", "2 FlowRuns", id="a name that is not deterministic"
        ),
        pytest.param(
            RECORD_FIRST,
            "PUT flowdeployments/status",
            "0 FlowRuns",
            id="the trigger recorded before the run is made",
        ),
    ],
)
async def test_planted_bugs_are_found(lab: Lab, bug: str, first: str, problem: str) -> None:
    """The proof above would fail for an operator that doubles or loses a run.

    Such an operator does its work as long as nobody kills it, so that nothing else is found of it.
    """
    namespace = f"crash-{lab.stamp}-bug-{problem[0]}"
    async with Lane(lab, namespace, ("-c", bug + RUN)) as lane:
        assert await lane.run("clean", None) == []
        assert _short(lane.proxy.writes[0]) == first
        problems = await lane.run("planted", Fault(1, "after"), patience=5.0)
        assert lane.starts == 2
    assert problem in problems


def _short(write: Write) -> str:
    kinds = [part for part in write.path.split("/") if part in _PLURALS]
    return f"{write.method} {'/'.join(kinds)}"


_PLURALS = ("flowdeployments", "flowruns", "jobs", "events", "status")
