"""The run of the next tick is made shortly before it, and begins at it, or never."""

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest

from flow_operator.core.ahead import LEAD_SECONDS, SPREAD_SECONDS
from flow_operator.core.concurrency import MAX_OPEN_RUNS
from flow_operator.core.decision import CreateJob, CreateRun, WriteStatus
from flow_operator.core.deployments import decide_deployment
from flow_operator.core.settings import Settings
from tests.unit.core.scheduled import EVERY_MINUTE, MINUTE, at, end_runs, ticks, world_with
from tests.unit.core.world import (
    T0,
    KilledError,
    World,
    deployment,
    flow_run,
    run_becomes_pending,
    stamp,
)

TICK = T0 + MINUTE
SHORTLY_BEFORE = TICK - timedelta(seconds=5)


def planned(**spec: Any) -> World:
    """A world a moment before a tick."""
    world = world_with(**spec)
    at(world, SHORTLY_BEFORE)
    return world


def scheduled_times(world: World) -> list[str]:
    return [run["spec"]["trigger"]["scheduledTime"] for run in world.plans]


def test_a_plan_waits_for_its_tick() -> None:
    """It is there before, and nothing becomes of it; at the tick its Job is all that is made."""
    world = planned()
    (plan,) = world.plans
    assert plan["spec"]["trigger"]["scheduledTime"] == stamp(TICK)
    assert world.all("Job") == []
    assert world.ticks == []
    status = world.one("FlowDeployment")["status"]
    assert "lastRun" not in status
    assert "active" not in status
    world.now = TICK
    decision = decide_deployment(world.one("FlowDeployment"), world.runs(), TICK)
    assert isinstance(decision.actions[0], CreateJob)
    assert decision.pressing == 1
    world.reconcile()
    assert ticks(world) == ["06:01:00"]
    assert world.one("Job")["metadata"]["ownerReferences"][0]["uid"] == plan["metadata"]["uid"]
    assert world.one("FlowRun")["status"]["startTime"] == stamp(TICK)
    status = world.one("FlowDeployment")["status"]
    assert status["lastScheduleTime"] == stamp(TICK)
    assert status["active"] == [{"name": plan["metadata"]["name"]}]


def test_a_run_that_begins_is_on_record_with_its_tick() -> None:
    """What is said of it then holds until its Pod has started."""
    world = planned()
    world.now = TICK
    run_becomes_pending(world)


def test_plans_are_made_at_moments_of_their_own() -> None:
    """Not all at once, each in good time, and none much earlier than its tick."""
    leads = set()
    for number in range(60):
        raw = deployment(schedules=[EVERY_MINUTE])
        raw["metadata"]["uid"] = f"uid-{number}"
        first = decide_deployment(raw, [], T0)
        raw["status"] = next(a.status for a in first.actions if isinstance(a, WriteStatus))
        wait = decide_deployment(raw, [], T0).requeue_after
        assert wait is not None
        (action,) = decide_deployment(raw, [], T0 + timedelta(seconds=wait)).actions
        assert isinstance(action, CreateRun)
        leads.add(60 - wait)
    assert len(leads) > SPREAD_SECONDS / 2
    assert min(leads) >= LEAD_SECONDS
    assert max(leads) < LEAD_SECONDS + SPREAD_SECONDS


@pytest.mark.parametrize("policy", ["Forbid", "Enqueue", "Replace"])
def test_where_runs_are_counted_there_are_no_plans(policy: str) -> None:
    """What becomes of a tick is known only when it comes."""
    world = planned(concurrencyPolicy=policy)
    assert world.plans == []
    at(world, TICK)
    assert ticks(world) == ["06:01:00"]


def test_limits_of_the_administrator_leave_no_plans() -> None:
    """Those that are there are deleted."""
    world = planned()
    world.settings = Settings(max_active_runs=1)
    world.reconcile()
    assert world.plans == []
    at(world, TICK)
    assert ticks(world) == ["06:01:00"]


def test_suspending_deletes_plans() -> None:
    """And going on makes them anew."""
    world = planned()
    world.edit(suspend=True)
    world.reconcile()
    assert world.plans == []
    world.edit(suspend=False)
    world.reconcile()
    assert scheduled_times(world) == [stamp(TICK)]
    at(world, TICK)
    assert ticks(world) == ["06:01:00"]


def test_suspended_after_the_tick_but_before_anybody_looked() -> None:
    """The plan is deleted; once the deployment goes on, the tick is caught up with."""
    world = planned()
    world.now = TICK + timedelta(seconds=1)
    world.edit(suspend=True)
    world.reconcile()
    assert (world.plans, ticks(world)) == ([], [])
    world.edit(suspend=False)
    world.reconcile()
    assert ticks(world) == ["06:01:00"]


def test_a_changed_schedule_changes_its_plans() -> None:
    """What is not due any more is deleted, and no run is made of it."""
    world = planned()
    world.edit(schedules=[{**EVERY_MINUTE, "cron": "*/5 * * * *"}])
    world.reconcile()
    assert world.plans == []
    at(world, T0 + 5 * MINUTE)
    assert ticks(world) == ["06:05:00"]


def test_a_plan_has_the_parameters_of_its_schedule() -> None:
    """One that was made with others is made anew; everything else is read at the tick."""
    world = planned(schedules=[{**EVERY_MINUTE, "parameters": {"a": 1}}])
    (before,) = world.plans
    world.edit(image="python:3.9")
    world.reconcile()
    assert world.plans == [before]
    world.edit(schedules=[{**EVERY_MINUTE, "parameters": {"a": 2}}])
    world.reconcile()
    at(world, TICK)
    resolved = world.one("FlowRun")["status"]["resolvedSpec"]
    assert resolved["parameters"] == {"a": 2}
    assert resolved["image"] == "python:3.9"
    assert len(world.made) == 1


def test_a_plan_can_be_cancelled() -> None:
    """That leaves out the tick; history does not forget that before the tick has passed."""
    world = planned(failedRunsHistoryLimit=0)
    (plan,) = world.plans
    plan["spec"]["cancel"] = True
    world.reconcile()
    assert plan["status"]["phase"] == "Cancelled"
    at(world, TICK - timedelta(seconds=1))
    at(world, TICK)
    at(world, TICK + timedelta(seconds=5))
    assert world.all("Job") == []
    assert world.one("FlowDeployment")["status"]["lastScheduleTime"] == stamp(TICK)
    assert world.all("FlowRun") == []


def test_a_plan_whose_tick_is_given_up_is_deleted() -> None:
    """Nobody was there until its deadline had passed."""
    world = planned(startingDeadlineSeconds=20)
    at(world, TICK + timedelta(seconds=30))
    assert scheduled_times(world) == [stamp(T0 + 2 * MINUTE)]
    assert (ticks(world), world.all("Job")) == ([], [])
    assert [event.reason for event in world.events] == ["TicksMissed"]


def test_of_ticks_that_passed_the_last_one_runs() -> None:
    """A plan for one before that is deleted."""
    world = planned()
    at(world, T0 + timedelta(minutes=3, seconds=5))
    assert ticks(world) == ["06:03:00"]
    with_status = world.one("FlowRun")
    assert with_status["spec"]["trigger"]["scheduledTime"] == stamp(T0 + 3 * MINUTE)


@pytest.mark.parametrize("late", [timedelta(seconds=2), timedelta(seconds=90)])
def test_a_plan_that_has_a_job_has_begun(late: timedelta) -> None:
    """Killed before the tick was on record, and back after its deadline: the run goes on."""
    world = planned(startingDeadlineSeconds=20)
    (plan,) = world.plans
    world.now, world.budget = TICK, 1
    with suppress(KilledError):
        world.deployments_only()
    world.budget = None
    at(world, TICK + late)
    end_runs(world)
    assert len(world.all("Job")) == len({run["metadata"]["name"] for run in world.all("FlowRun")})
    assert plan["status"]["phase"] == "Succeeded"


def test_a_job_that_is_refused_is_for_the_run_to_say() -> None:
    """The tick goes on record all the same, and the run tries from then on."""
    world = planned()
    decision = decide_deployment(
        world.one("FlowDeployment"), world.runs(), TICK, settings=world.settings
    )
    job, *others = decision.actions
    assert isinstance(job, CreateJob)
    assert job.optional
    (write,) = [action for action in others if isinstance(action, WriteStatus)]
    world.one("FlowDeployment")["status"] = write.status
    at(world, TICK + timedelta(seconds=5))
    assert ticks(world) == ["06:01:00"]
    assert len(world.all("Job")) == 1


def test_what_cannot_run_says_so_at_its_tick() -> None:
    """The snapshot is made then; what is wrong with it is the run's end."""
    world = planned(schedules=[{**EVERY_MINUTE, "parameters": {"a": "x" * 65_000}}])
    world.edit(parameters={"b": "x" * 65_000})
    at(world, TICK)
    (condition,) = world.one("FlowRun")["status"]["conditions"]
    assert condition["reason"] == "InvalidSpec"
    assert world.all("Job") == []


def test_fast_ticks_have_plans_too() -> None:
    """One every second, the next one made as soon as this one has begun."""
    world = world_with(schedules=[{"name": "x", "interval": {"every": "1s"}}], catchUp="all")
    for second in range(1, 30):
        at(world, T0 + timedelta(seconds=second))
        end_runs(world)
        assert scheduled_times(world) == [stamp(T0 + timedelta(seconds=second + 1))]
    assert len(world.ticks) == len(set(world.ticks)) == 29


def test_jitter_counts_from_the_moment_that_it_asks_for() -> None:
    """A plan begins with its delay, not with its tick."""
    world = world_with(schedules=[{**EVERY_MINUTE, "jitter": "40s"}])
    begun: list[datetime] = []
    while not begun:
        world.now += timedelta(seconds=1)
        had = bool(world.plans)
        world.reconcile()
        if world.ticks:
            assert had
            begun.append(world.now)
    assert begun[0] > TICK


def test_what_somebody_makes_is_no_plan() -> None:
    """The mark alone holds nothing: not a run of one's own, nor one that names no tick."""
    world = world_with(schedules=[{"name": "x", "cron": "0 0 1 1 *"}])
    marked = {"flow-operator.io/made-ahead": "0123456789"}
    trigger = {"type": "Schedule", "schedule": "x", "scheduledTime": "2030-02-30T00:00:00Z"}
    for name, spec in (("own", {}), ("wrong", {"trigger": trigger})):
        run = flow_run(name, **spec)
        run["metadata"]["annotations"] = marked
        owner = {
            "apiVersion": "flow-operator.io/v1alpha1",
            "kind": "FlowDeployment",
            "name": "etl",
            "uid": "uid-etl",
            "controller": True,
        }
        run["metadata"]["ownerReferences"] = [owner] if spec else []
        world.put(run)
    world.reconcile()
    phases = {run["metadata"]["name"]: run["status"]["phase"] for run in world.all("FlowRun")}
    assert phases == {"own": "Pending", "wrong": "Failed"}


def test_a_plan_is_given_up_though_there_is_more_to_catch_up_with() -> None:
    """More ticks than a pass takes are due, and that of the plan is too old."""
    schedules = [{"name": "x", "interval": {"every": "1s"}}]
    world = world_with(schedules=schedules, catchUp="all", startingDeadlineSeconds=100)
    (plan,) = world.plans
    at(world, T0 + timedelta(seconds=500))
    assert plan["spec"]["trigger"]["scheduledTime"] not in world.ticks
    assert len(world.ticks) == len(set(world.ticks)) == 101


def test_a_plan_is_given_up_though_many_runs_are_open() -> None:
    """A deployment with all the runs that it may have makes no more plans, and still deletes."""
    world = planned()
    for number in range(MAX_OPEN_RUNS):
        world.put(flow_run(f"open-{number}"))
    world.edit(suspend=True)
    world.reconcile()
    assert world.plans == []
    world.edit(suspend=False)
    world.reconcile()
    assert world.plans == []
