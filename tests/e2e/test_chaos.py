"""Whatever strikes operators, API server and etcd, every tick is accounted for.

Two replicas of the operator, processes of their own behind proxies, serve deployments that tick up
to every second, while faults strike that are drawn from a seed. Then all is let come to rest, and
what is there is compared with what must be there.
"""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import pytest

from tests.cluster import Cluster
from tests.e2e.chaos import exact, planted, policies
from tests.e2e.chaos.aftermath import Aftermath
from tests.e2e.chaos.faults import COMPONENTS, Kind, draw
from tests.e2e.chaos.lab import laboratory
from tests.e2e.chaos.storm import Storm
from tests.e2e.chaos.workload import count, exact_flows, policy_flows, unix

SEED = int(os.environ.get("FLOW_CHAOS_SEED") or 1)
TICKS = int(os.environ.get("FLOW_CHAOS_TICKS") or 500)

MOST = 2000
"""How many ticks a storm has at most: no history keeps more than 1000 runs. Then come others."""

STORMS = -(-TICKS // MOST)

_SLACK = 3.0
"""Seconds more, for the deployments are created one after the other, and not at a full second."""

EXACT_FLOWS = exact_flows()
POLICY_FLOWS = policy_flows()


@pytest.fixture(scope="module")
def impossible(exclusive: Cluster) -> frozenset[Kind]:
    """Faults that cannot be had on this cluster."""
    return frozenset() if exclusive.can_stop else COMPONENTS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chaos")


@pytest.fixture(scope="module", params=range(SEED, SEED + STORMS), ids=lambda seed: f"seed {seed}")
def after(
    exclusive: Cluster,
    impossible: frozenset[Kind],
    folder: Path,
    request: pytest.FixtureRequest,
) -> Aftermath:
    """What is left of the storm that a seed stands for."""
    seed, ticks = request.param, -(-TICKS // STORMS)
    seconds = ticks / (count(EXACT_FLOWS, 0, 60_000) / 60_000) + _SLACK
    faults = draw(seed, seconds, without=impossible)
    print(f"\nmake chaos SEED={seed} TICKS={ticks}   (logs: {folder})")
    print("\n".join(f"  {fault}" for fault in faults), flush=True)

    async def blow() -> Aftermath:
        async with laboratory(exclusive, folder) as lab:
            storm = Storm(
                lab, f"chaos-{lab.stamp}", [*EXACT_FLOWS, *POLICY_FLOWS], faults,
                needed=[flow.name for flow in EXACT_FLOWS], seed=seed, seconds=seconds,
            )  # fmt: skip
            return await storm.run()

    return asyncio.run(blow())


def test_every_tick_has_one_run(after: Aftermath) -> None:
    """FlowRuns equal ticks, attempts are Jobs, and all of them have ended well."""
    created = min(
        unix(found["metadata"]["creationTimestamp"]) for found in after.deployments.values()
    )
    assert count(EXACT_FLOWS, created, int(after.times.faults_ended)) >= TICKS // STORMS
    problems = [*after.problems, *exact.judge(after, EXACT_FLOWS)]
    assert problems == []


def test_policies_decide_what_becomes_of_ticks(after: Aftermath) -> None:
    """What has no run was skipped, or missed while nobody could act; limits hold throughout."""
    print(f"\nfates of ticks: {dict(policies.fates(after, POLICY_FLOWS))}")
    problems = policies.judge(after, POLICY_FLOWS)
    assert problems == []


def test_every_kind_of_fault_struck(after: Aftermath, impossible: frozenset[Kind]) -> None:
    """The two tests above have seen all there is."""
    print("\n" + "\n".join(f"  {number:5}  {kind}" for kind, number in after.struck.items()))
    assert set(Kind) - impossible - after.struck.keys() == set()


@pytest.fixture(scope="module")
def shown(exclusive: Cluster, folder: Path) -> dict[str, list[str]]:
    """What little storms show of operators with a bug."""

    async def blow() -> dict[str, list[str]]:
        async with laboratory(exclusive, folder) as lab:
            return await planted.blow_at_all(lab)

    return asyncio.run(blow())


@pytest.mark.parametrize("name", planted.BUGS)
def test_planted_bugs_are_caught(shown: dict[str, list[str]], name: str) -> None:
    """The judge above would not pass an operator with that bug."""
    wanted = planted.BUGS[name].problem
    assert any(re.search(wanted, problem) for problem in shown[name]), shown[name]


def test_the_operator_stands_what_its_planted_bugs_do_not(shown: dict[str, list[str]]) -> None:
    """What was caught was the bugs."""
    assert shown[planted.NO_BUG] == []
