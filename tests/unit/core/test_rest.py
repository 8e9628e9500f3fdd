"""A deployment that says it is at rest can be looked at a little later, whoever died before."""

from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from flow_operator.core.ahead import LEAD_SECONDS, SPREAD_SECONDS
from flow_operator.core.decision import CancelRun, CreateJob, CreateRun
from flow_operator.core.deployments import decide_deployment
from flow_operator.core.rest import FIRST_LOOK_SECONDS, rests_until
from tests.unit.core.scheduled import EVERY_MINUTE, at, end_runs, world_with
from tests.unit.core.world import T0, KilledError, World

HOURLY = {"name": "hourly", "cron": "0 * * * *"}
QUARTERLY = {"name": "quarterly", "interval": {"every": "15m"}, "jitter": "2m"}


def rests(world: World) -> bool:
    until = rests_until(world.one("FlowDeployment"))
    return until is not None and until > world.now


def test_one_whose_tick_is_far_off_rests() -> None:
    world = world_with(schedules=[HOURLY])
    assert rests(world)
    at(world, T0 + timedelta(minutes=59))
    assert not rests(world)
    at(world, T0 + timedelta(minutes=60))
    assert not rests(world)  # its run has not ended
    end_runs(world)
    assert rests(world)


def test_it_rests_until_its_run_could_be_made_ahead() -> None:
    """However long everything else takes to read meanwhile."""
    until = rests_until(world_with(schedules=[HOURLY]).one("FlowDeployment"))
    ahead = timedelta(seconds=FIRST_LOOK_SECONDS + LEAD_SECONDS + SPREAD_SECONDS)
    assert until == T0 + timedelta(hours=1) - ahead


def test_one_that_never_ticks_rests() -> None:
    world = world_with(schedules=[EVERY_MINUTE], suspend=True)
    assert rests(world)


def test_one_that_was_edited_does_not_rest() -> None:
    world = world_with(schedules=[HOURLY])
    world.edit(suspend=True)
    assert not rests(world)


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"observedGeneration": 1},
        {
            "observedGeneration": 1,
            "conditions": [{"type": "Ready", "status": "False", "reason": "QuotaExceeded"}],
        },
        {
            "observedGeneration": 1,
            "conditions": [{"type": "Ready", "status": "True"}],
            "nextScheduleTime": "2030-02-30T00:00:00Z",
        },
    ],
    ids=["new", "not-accepted", "refused", "unreadable"],
)
def test_one_that_does_not_say_so_does_not_rest(status: dict[str, Any]) -> None:
    assert rests_until({"metadata": {"generation": 1}, "status": status}) is None


@pytest.mark.parametrize("policy", ["Allow", "Forbid", "Replace", "Enqueue"])
@pytest.mark.parametrize("run_on", [[], ["SpecChange"]], ids=["ticks", "changes"])
def test_whoever_rests_starts_nothing(policy: str, run_on: list[str]) -> None:
    """An operator is killed after each of its writes, and what it leaves is looked at later."""
    rested = 0
    for writes in range(40):
        world = World()
        world.put(world_with(schedules=[HOURLY, QUARTERLY]).one("FlowDeployment"))
        world.edit(concurrencyPolicy=policy, runOn=run_on)
        world.reconcile()
        end_runs(world)
        world.budget = writes
        with suppress(KilledError):
            world.edit(parameters={"n": 1})
            for minute in (15, 16, 18, 30, 40):
                at(world, T0 + timedelta(minutes=minute))
                end_runs(world)
        if not rests(world):
            continue
        rested += 1
        until = world.now + timedelta(seconds=FIRST_LOOK_SECONDS)
        raw, runs = world.one("FlowDeployment"), world.runs()
        starts = [
            action
            for action in decide_deployment(raw, runs, until).actions
            if isinstance(action, (CreateRun, CreateJob, CancelRun))
        ]
        assert starts == []
    assert rested >= 3
