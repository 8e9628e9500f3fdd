"""Killed at any write and started again, the operator loses no run and doubles none."""

import pytest

from tests.unit.core.world import SUCCEEDED_POD, KilledError, World, deployment


def fresh() -> World:
    world = World()
    world.put(deployment())
    return world


def to_the_end(world: World) -> None:
    world.reconcile()
    if not world.one("FlowRun").get("status", {}).get("completionTime"):
        world.pod_becomes(SUCCEEDED_POD)
    world.reconcile()


def writes_of_a_run() -> int:
    world = fresh()
    to_the_end(world)
    return world.writes


@pytest.mark.parametrize("kill_after", range(writes_of_a_run()))
def test_killed_at_write(kill_after: int) -> None:
    """There is exactly one FlowRun and one Job, each Event once, and the run succeeds."""
    world = fresh()
    world.budget = kill_after
    with pytest.raises(KilledError):
        to_the_end(world)
    world.budget = None
    to_the_end(world)
    assert [kind for kind, _ in world.created] == ["FlowRun", "Job"]
    assert world.one("FlowRun")["status"]["phase"] == "Succeeded"
    assert world.one("FlowDeployment")["status"]["lastTrigger"]["sequence"] == 1
