"""An administrator's limit on active runs holds on a real API server, whoever is killed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

from flow_operator.shell.cluster import FLOW_RUNS
from tests.cluster import Cluster
from tests.e2e.chaos import exact
from tests.e2e.chaos.aftermath import Aftermath
from tests.e2e.chaos.faults import Fault, Kind
from tests.e2e.chaos.lab import laboratory
from tests.e2e.chaos.record import Run
from tests.e2e.chaos.storm import Storm
from tests.e2e.chaos.workload import EXACT, Flow, Timer

LIMIT = 3
ALLOW = [Flow(f"allow-{number}", (Timer("fast", 8),), EXACT, 1.0, fails=4) for number in range(4)]
IN_TURN = Flow(
    "in-turn", (Timer("fast", 7),), {**EXACT, "concurrencyPolicy": "Enqueue"}, 1.0, fails=4
)
FAULTS = [
    Fault(5, Kind.LOSE, 0, 0, 3),
    Fault(9, Kind.KILL_LEADER, 0, 1.0, 1),
    Fault(18, Kind.REFUSE, 0, 0, 4),
    Fault(21, Kind.DROP, 0, 0, 1),
    Fault(24, Kind.KILL_LEADER, 0, 1.0, 1),
]


@pytest.fixture(scope="module")
def after(exclusive: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Aftermath:
    """What is left of a storm in which more is due than may run."""

    async def blow() -> Aftermath:
        async with laboratory(exclusive, tmp_path_factory.mktemp("limits")) as lab:
            storm = Storm(
                lab, f"limits-{lab.stamp}", [*ALLOW, IN_TURN], FAULTS, seconds=30, calm_seconds=0,
                needed=[flow.name for flow in (*ALLOW, IN_TURN)],
                settings=json.dumps({"maxActiveRuns": LIMIT}),
            )  # fmt: skip
            return await storm.run()

    return asyncio.run(blow())


def active(after: Aftermath) -> Iterator[set[str]]:
    """Yield the names of the runs that had started and not ended, after each change."""
    found: set[str] = set()
    for state in after.record.states[FLOW_RUNS.kind]:
        run = Run.of(state.object)
        if run.started and not run.ended and not state.gone:
            found.add(run.name)
        else:
            found.discard(run.name)
        yield set(found)


def test_every_tick_has_its_run_in_the_end(after: Aftermath) -> None:
    """Who waits for room gets it, though leaders were killed and answers lost."""
    assert [*after.problems, *exact.judge(after, [*ALLOW, IN_TURN])] == []


def test_no_more_run_than_may(after: Aftermath) -> None:
    """And so many do: the limit was reached, and others waited."""
    numbers = [len(names) for names in active(after)]
    assert max(numbers) == LIMIT
    phases = {
        (state.object.get("status") or {}).get("phase")
        for state in after.record.states[FLOW_RUNS.kind]
    }
    assert "Queued" in phases
